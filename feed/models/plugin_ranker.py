"""A ranker that a plugin taught, as the rankers of feed are, and its files in a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import orjson

from feed.arrays import Flags, Floats, Matrix
from feed.domain import BundleError
from feed.models.ranker import default_ranker, logistic, margin_lost
from feed.models.schema import FEATURES
from feed.plugins.calling import margin, told
from feed.plugins.loading import PluginError, active_plugins
from feed.plugins.protocols import FittedPlugin


class TaughtByPlugin:
    """Scores by what a plugin has learned; where it is left out, by the day-one weights.

    Args:
        name: of the plugin.
        fitted: what it has learned.
        neutral: the value that says nothing of each feature it has learned from, f32 [known]. They
            are the first of `FEATURES`; those of plugins that came later are kept from it.
    """

    def __init__(self, name: str, fitted: FittedPlugin, neutral: npt.ArrayLike) -> None:
        self.name, self._fitted = name, fitted
        self.known_neutral: Matrix = np.asarray(neutral, np.float32)
        self.neutral: Matrix = np.full(len(FEATURES), np.nan, np.float32)
        self.neutral[: len(self.known_neutral)] = self.known_neutral

    def margin(self, features: Matrix) -> Floats:
        """Return scores in log-odds, f64 [k], of features f32 [k, len(FEATURES)]."""
        if not len(features):
            return np.zeros(0)
        seen = features[:, : len(self.known_neutral)]
        seen.setflags(write=False)
        found = margin(self.name, self._fitted, seen)
        return default_ranker({}).margin(features) if found is None else found

    def score(self, features: Matrix) -> Floats:
        """Return scores in (0, 1), f64 [k]: the logistic of the margin."""
        return logistic(self.margin(features))

    def contributions(
        self,
        features: Matrix,
        margin: Floats,
        families: Sequence[tuple[str, ...]],
        asked: Flags | None = None,
    ) -> Floats:
        """Return the margin lost when a family's features are replaced by neutral values."""
        return margin_lost(self, features, margin, families, asked)

    def importance(self) -> dict[str, float]:
        """Return nothing: how much a feature counts is known to the plugin alone."""
        return {}

    def with_threads(self, threads: int) -> TaughtByPlugin:
        """Return the same ranker: the plugin decides on its threads."""
        del threads
        return self

    def save(self) -> bytes:
        """Return what the plugin wrote.

        Raises:
            PluginError: it wrote no bytes, or a pickle, which runs code when it is read.
        """
        return saved(self.name, self._fitted)


def saved(name: str, fitted: FittedPlugin) -> bytes:
    """Return what a plugin's ranker writes.

    Raises:
        PluginError: it wrote no bytes, or a pickle, which runs code when it is read.
    """
    try:
        data = fitted.save()
    except Exception as error:  # the code is somebody else's and may raise anything
        raise PluginError(f"ranker {name}: save failed: {told(error)}") from error
    if not isinstance(data, bytes) or not data:
        raise PluginError(f"ranker {name}: save must return bytes")
    if data[:1] == b"\x80" and data[-1:] == b".":
        raise PluginError(f"ranker {name}: save must not return a pickle, which is code")
    return data


def plugin_files(head: str, ranker: TaughtByPlugin) -> dict[str, bytes]:
    """Return the files of a plugin's ranker beside its neutral values, by name."""
    return {
        f"ranker_{head}_plugin.json": orjson.dumps({"plugin": ranker.name}),
        f"ranker_{head}_plugin.bin": ranker.save(),
    }


def read_plugin_ranker(
    files: dict[str, bytes], head: str, neutral: npt.ArrayLike
) -> TaughtByPlugin:
    """Return a plugin's ranker from the files of a model.

    Raises:
        BundleError: the plugin is not in use, or cannot read what it wrote.
    """
    name = orjson.loads(files[f"ranker_{head}_plugin.json"])["plugin"]
    plugin = active_plugins().ranker
    if plugin is None or plugin.name != name:
        raise BundleError(f"the model's ranker needs the plugin {name}, which is not in use")
    try:
        fitted = plugin.load(files[f"ranker_{head}_plugin.bin"])
    except Exception as error:  # the code is somebody else's and may raise anything
        raise BundleError(f"ranker {name}: load failed: {told(error)}") from error
    return TaughtByPlugin(name, fitted, neutral)
