"""Plugins of which each breaks the contract in one way."""
# ruff: noqa: ARG002 - the protocols give the arguments

from __future__ import annotations

import pickle

import numpy as np


class Steady:
    """A feature that keeps the contract."""

    name, doc, weight, neutral = "steady", "age in hours", 0.0, 0.0

    def compute(self, moment):
        return moment.articles.age_hours


class Short(Steady):
    def compute(self, moment):
        return [1.0]


class Infinite(Steady):
    def compute(self, moment):
        return np.full(len(moment.articles), np.inf)


class Wordy(Steady):
    def compute(self, moment):
        return ["many"] * len(moment.articles)


class Raising(Steady):
    def compute(self, moment):
        raise KeyError("no such column")


class Random(Steady):
    def compute(self, moment):
        return np.random.default_rng().random(len(moment.articles))


class Remembering(Steady):
    """It adds to what it is asked about the latest moment it was ever asked about."""

    def __init__(self):
        self.latest = 0.0

    def compute(self, moment):
        self.latest = max(self.latest, moment.now)
        return moment.articles.age_hours + self.latest


class Writing(Steady):
    def compute(self, moment):
        ages = moment.articles.age_hours
        ages[0] = 5.0
        return ages


class Forcing(Steady):
    def compute(self, moment):
        ages = moment.articles.age_hours
        ages.setflags(write=True)
        ages += 5.0
        return ages


class Nameless(Steady):
    name = "Not A Name"


class Weightless(Steady):
    weight = "much"


class Unmade(Steady):
    def __init__(self):
        raise OSError("there is no such file")


class Source:
    name, reason = "source", "Because of a test"

    def propose(self, moment, limit):
        return np.arange(min(limit, len(moment.articles)))


class Beyond(Source):
    def propose(self, moment, limit):
        return [len(moment.articles)]


class Twice(Source):
    def propose(self, moment, limit):
        return [1, 1]


class Halves(Source):
    def propose(self, moment, limit):
        return [0.5]


class Emptying:
    name = "emptying"

    def apply(self, moment, scores):
        return []


class Fitted:
    def __init__(self, weight):
        self.weight = weight

    def margin(self, features):
        return np.nan_to_num(features[:, 0]) * self.weight

    def save(self):
        return str(self.weight).encode()


class Ranker:
    name = "ranker"

    def fit(self, examples):
        return Fitted(2.0)

    def load(self, data):
        return Fitted(float(data))


class Forgetful(Ranker):
    def load(self, data):
        return Fitted(1.0)


class Pickling(Ranker):
    def fit(self, examples):
        class Pickled(Fitted):
            def save(self):
                return pickle.dumps(self.weight)

        return Pickled(2.0)


class Unfinished(Ranker):
    def fit(self, examples):
        return None


class Method:
    """An offline method that draws its scores."""

    def observe(self, happened):
        pass

    def score(self, asked):
        return np.random.default_rng().random(len(asked.rows))
