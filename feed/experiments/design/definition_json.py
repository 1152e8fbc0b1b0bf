"""Experiments as JSON: what files, the API and the store hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from feed.domain import format_time, parse_time
from feed.experiments.design.audience import Audience
from feed.experiments.design.definitions import (
    Experiment,
    GuardrailSpec,
    OnBreach,
    Status,
    StoppingRule,
    Variant,
)
from feed.experiments.design.parsing import Reader
from feed.experiments.design.traffic import RampStep, TrafficStep


def experiment_from_json(data: Any) -> Experiment:
    """Build a definition from JSON; times in ISO 8601, fields left out take their defaults.

    An experiment that started before `minimum_days` existed keeps the rule that was registered
    then: a primary metric may decide from the first day on.

    Raises:
        InvalidInputError: a field is unknown, missing, of the wrong type or breaks a rule.
    """
    reader = Reader(data, {f.name for f in fields(Experiment)})
    values: dict[str, Any] = {
        "name": reader.text("name"),
        "hypothesis": reader.text("hypothesis"),
        "owner": reader.text("owner"),
        "variants": tuple(_variant_from_json(part) for part in reader.parts("variants")),
    }
    for name in ("unit", "layer", "salt"):
        reader.take(values, name, reader.text)
    for name in ("version", "revision", "planned_readers", "planned_days", "pre_days"):
        reader.take(values, name, reader.whole)
    for name in ("traffic", "holdout_share", "minimum_effect", "alpha", "power"):
        reader.take(values, name, reader.number)
    for name in ("primary_metrics", "secondary_metrics", "excluded"):
        reader.take(values, name, reader.texts)
    for name in ("created_at", "started_at", "stopped_at"):
        if reader.has(name):
            values[name] = parse_time(name, reader.text(name))
    if reader.has("minimum_days"):
        values["minimum_days"] = reader.whole("minimum_days") or -1  # 0 is no number of days
    elif values.get("started_at"):
        values["minimum_days"] = 1
    for name in ("buckets", "reserved"):
        reader.take(values, name, reader.pair)
    for name in ("equal_arms", "pin_model", "archived"):
        reader.take(values, name, reader.flag)
    for name, build in _PARTS.items():
        if reader.has(name):
            values[name] = tuple(build(part) for part in reader.parts(name))
    reader.take(values, "overrides", reader.text_map)
    reader.take(values, "audience", lambda name: _audience_from_json(reader.part(name)))
    reader.take(values, "stopping_rule", lambda name: reader.choice(name, StoppingRule))
    reader.take(values, "on_breach", lambda name: reader.choice(name, OnBreach))
    reader.take(values, "status", lambda name: reader.choice(name, Status))
    return Experiment(**values)


def experiment_to_json(experiment: Experiment) -> dict[str, Any]:
    """Return a definition as JSON, the reverse of `experiment_from_json`."""
    data: dict[str, Any] = {f.name: getattr(experiment, f.name) for f in fields(experiment)}
    for name in ("created_at", "started_at", "stopped_at"):
        data[name] = format_time(data[name]) if data[name] else None
    data["variants"] = [
        {
            "name": variant.name,
            "share": variant.share,
            "overrides": dict(variant.overrides),
            "model_version": variant.model_version,
            "interleaves": list(variant.interleaves),
        }
        for variant in experiment.variants
    ]
    data["guardrails"] = [
        {"metric": spec.metric, "margin": spec.margin, "relative": spec.relative}
        for spec in experiment.guardrails
    ]
    data["ramp"] = [
        {"after_days": step.after_days, "traffic": step.traffic} for step in experiment.ramp
    ]
    data["steps"] = [
        {"at": format_time(step.at), "traffic": step.traffic} for step in experiment.steps
    ]
    audience = experiment.audience
    data["audience"] = {f.name: list(getattr(audience, f.name)) for f in fields(Audience)}
    data["overrides"] = dict(experiment.overrides)
    for name in ("primary_metrics", "secondary_metrics", "excluded", "buckets", "reserved"):
        data[name] = list(data[name])
    return data


def _variant_from_json(part: Reader) -> Variant:
    part.only({f.name for f in fields(Variant)})
    values: dict[str, Any] = {"name": part.text("name"), "share": part.number("share")}
    part.take(values, "overrides", part.mapping)
    part.take(values, "model_version", part.text)
    part.take(values, "interleaves", part.texts)
    return Variant(**values)


def _guardrail_from_json(part: Reader) -> GuardrailSpec:
    part.only({f.name for f in fields(GuardrailSpec)})
    values: dict[str, Any] = {"metric": part.text("metric"), "margin": part.number("margin")}
    part.take(values, "relative", part.flag)
    return GuardrailSpec(**values)


def _ramp_step_from_json(part: Reader) -> RampStep:
    part.only({f.name for f in fields(RampStep)})
    return RampStep(part.number("after_days"), part.number("traffic"))


def _traffic_step_from_json(part: Reader) -> TrafficStep:
    part.only({f.name for f in fields(TrafficStep)})
    return TrafficStep(parse_time("steps", part.text("at")), part.number("traffic"))


_PARTS: dict[str, Callable[[Reader], Any]] = {
    "guardrails": _guardrail_from_json,
    "ramp": _ramp_step_from_json,
    "steps": _traffic_step_from_json,
}
"""Fields that are lists of objects."""


def _audience_from_json(part: Reader) -> Audience:
    names = [f.name for f in fields(Audience)]
    part.only(set(names))
    values: dict[str, Any] = {}
    for name in names:
        part.take(values, name, part.texts)
    return Audience(**values)
