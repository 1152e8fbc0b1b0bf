"""Experiments as JSON: what files, the API and the store hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from feed.domain import format_time
from feed.experiments.design.audience import Audience
from feed.experiments.design.definitions import (
    Experiment,
    GuardrailSpec,
    Status,
    StoppingRule,
    Variant,
)
from feed.experiments.design.metrics import METRICS, Metric, metric_from_json, metric_to_json
from feed.experiments.design.parsing import Reader


def experiment_from_json(
    data: Any, own: Callable[[], Mapping[str, Metric]] = dict[str, Metric]
) -> Experiment:
    """Build a definition from JSON; times in ISO 8601, fields left out take their defaults.

    The site's own metrics that it names are those declared in it, under `metrics`. What it does
    not declare is taken from `own`, which is called only if there is such a name.

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
        reader.take(values, name, reader.time)
    if reader.has("minimum_days"):
        values["minimum_days"] = reader.whole("minimum_days") or -1  # 0 is no number of days
    elif values.get("started_at"):
        values["minimum_days"] = 1
    reader.take(values, "buckets", reader.pair)
    reader.take(values, "equal_arms", reader.flag)
    reader.take(values, "pin_model", reader.flag)
    reader.take(values, "overrides", reader.text_map)
    if reader.has("audience"):
        values["audience"] = _audience_from_json(reader.part("audience"))
    if reader.has("guardrails"):
        values["guardrails"] = tuple(_guardrail_from_json(p) for p in reader.parts("guardrails"))
    if reader.has("stopping_rule"):
        values["stopping_rule"] = reader.choice("stopping_rule", StoppingRule)
    if reader.has("status"):
        values["status"] = reader.choice("status", Status)
    declared = reader.mapping("metrics") if reader.has("metrics") else {}
    metrics = {name: metric_from_json(name, part, "metrics.") for name, part in declared.items()}
    if not _named_metrics(values) <= METRICS.keys() | metrics.keys():
        metrics = {**own(), **metrics}
    experiment = Experiment(**values, metrics=metrics)
    named = experiment.named_metrics & metrics.keys()
    return replace(experiment, metrics={name: metrics[name] for name in sorted(named)})


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
    data["metrics"] = {name: metric_to_json(metric) for name, metric in data["metrics"].items()}
    audience = experiment.audience
    data["audience"] = {f.name: list(getattr(audience, f.name)) for f in fields(Audience)}
    data["overrides"] = dict(experiment.overrides)
    for name in ("primary_metrics", "secondary_metrics", "excluded", "buckets"):
        data[name] = list(data[name])
    return data


def _named_metrics(values: Mapping[str, Any]) -> set[str]:
    guarded = {spec.metric for spec in values.get("guardrails", ())}
    return guarded.union(values.get("primary_metrics", ()), values.get("secondary_metrics", ()))


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


def _audience_from_json(part: Reader) -> Audience:
    names = [f.name for f in fields(Audience)]
    part.only(set(names))
    values: dict[str, Any] = {}
    for name in names:
        part.take(values, name, part.texts)
    return Audience(**values)
