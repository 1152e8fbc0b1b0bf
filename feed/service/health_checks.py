"""What is wrong with the installation, as alerts: a pure function of its present state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from feed.config import DAY_S
from feed.models.training_runs import FAILED
from feed.models.training_runs import REFUSED as REFUSED_RUN
from feed.service.health_alerts import (
    AlertLevel,
    AlertLimit,
    HealthAlert,
    duration_text,
    share_text,
)
from feed.service.health_machinery import (
    check_archive,
    check_encoder,
    check_encoding_anew,
    check_store,
    check_worker,
)
from feed.service.present_state import Present
from feed.storage.pulse_series import ERRORS, FALLEN, REFUSED, REQUESTS, RUNGS

MODEL_DAYS = 3.0
"""Age from which a model counts as old: in training an interaction loses half its weight in it."""
SNAPSHOT_AGE_S = AlertLimit(30.0, 15.0)
REFUSED_SHARE = AlertLimit(0.01, 0.005)
ERROR_SHARE = AlertLimit(0.01, 0.005)
FALLEN_SHARE = AlertLimit(0.05, 0.02)
BUDGET_SHARE = AlertLimit(1.0, 0.8)
ENOUGH_FEEDS = 100
FEWEST_BAD = 5
FAILED_CHECKS = 3
SOURCES_NAMED = 5


def find_alerts(present: Present, before: Collection[str] = ()) -> tuple[HealthAlert, ...]:
    """Return what is wrong, the worst first.

    Args:
        present: the state of the installation.
        before: kinds of the alerts that were there at the last look; they end at a lower limit
            than the one at which they began.
    """
    found = [alert for check in _CHECKS for alert in check(present, before)]
    return tuple(sorted(found, key=lambda alert: alert.level))


def _feeds(present: Present, before: Collection[str]) -> Iterator[HealthAlert]:
    recent = present.recent
    requests, feeds = recent.total(REQUESTS), recent.total(*RUNGS)
    age = recent.window(3).latest("snapshot_age_s")
    if present.store_answers and SNAPSHOT_AGE_S.passed(age, "snapshot_stale", before):
        yield HealthAlert(
            "snapshot_stale",
            AlertLevel.FAULT,
            f"A web process has not seen anything new for {duration_text(age)}",
            "Its readers get no new articles, and retractions do not take effect there.",
            "Look for `snapshot_not_refreshed` or `snapshot_failed` in its log, and restart it.",
        )
    if not present.store_answers or present.store_refuses:
        return
    refused, errors, fallen = (recent.total(name) for name in (REFUSED, ERRORS, FALLEN))
    share = refused / requests if refused >= FEWEST_BAD else None
    if REFUSED_SHARE.passed(share, "requests_refused", before) and share is not None:
        yield HealthAlert(
            "requests_refused",
            AlertLevel.WARNING,
            f"{share_text(share)} of requests were refused in the last five minutes",
            "Callers got 503 or 429 and must try again.",
            "If the load is high, start more web processes (`FEED_WEB`, or another machine). If "
            "one caller asks too often, look at `FEED_RATE_PER_MINUTE`.",
        )
    share = errors / requests if errors >= FEWEST_BAD else None
    if ERROR_SHARE.passed(share, "errors", before) and share is not None:
        yield HealthAlert(
            "errors",
            AlertLevel.FAULT,
            f"{share_text(share)} of requests failed in the last five minutes",
            "These callers got an error that is the service's fault.",
            "Look for errors in the log of the web processes; each answer has an `X-Request-Id`.",
        )
    share = fallen / feeds if feeds >= ENOUGH_FEEDS else None
    if FALLEN_SHARE.passed(share, "feeds_fallen", before) and share is not None:
        yield HealthAlert(
            "feeds_fallen",
            AlertLevel.WARNING,
            f"{share_text(share)} of feeds were simpler than readers asked for",
            "These readers got what is trending or new, and not what was chosen for them.",
            "Look in the log for `ranking_failed` (a defect) and `store_unavailable` (the store is "
            "slow: see `FEED_STORE_TIMEOUT_MS`).",
        )
    slowest = recent.percentile(0.99) if feeds >= ENOUGH_FEEDS else None
    late = None if slowest is None else slowest / present.budget_ms
    if BUDGET_SHARE.passed(late, "feeds_slow", before):
        yield HealthAlert(
            "feeds_slow",
            AlertLevel.WARNING,
            f"One feed in a hundred takes longer than {slowest:,.0f} ms",
            f"A feed may take {present.budget_ms} ms; late ones are made with fewer steps.",
            "Start more web processes, or look at `Server-Timing` in an answer: it names the stage "
            "that takes long.",
        )


def _sources(present: Present, _before: Collection[str]) -> Iterator[HealthAlert]:
    down = [one for one in present.failing if one.is_gone or one.failures >= FAILED_CHECKS]
    if len(down) > 1 and len(down) == present.sources:
        yield HealthAlert(
            "sources_down",
            AlertLevel.FAULT,
            f"None of the {len(down)} sources can be read",
            "No new articles come from them. What was read before is still shown.",
            "Check the worker's network and its name resolution (DNS). "
            f"The first one says: {down[0].message.rstrip('.')}.",
            "/desk/sources",
        )
        return
    for one in down[:SOURCES_NAMED]:
        what = "is gone" if one.is_gone else f"has failed {one.failures} times in a row"
        yield HealthAlert(
            f"source_down/{one.source_id}",
            AlertLevel.WARNING,
            f"The source {one.name} {what}",
            f"No new articles come from it: {one.message.rstrip('.')}.",
            f"Try it with `feed sources check {one.source_id}`. If its address has changed, add "
            "the new one and remove this one.",
            "/desk/sources",
        )
    if len(down) > SOURCES_NAMED:
        yield HealthAlert(
            "sources_more",
            AlertLevel.WARNING,
            f"{len(down) - SOURCES_NAMED} more sources cannot be read",
            "No new articles come from them.",
            "Look at the list of sources.",
            "/desk/sources",
        )


def _model(present: Present, _before: Collection[str]) -> Iterator[HealthAlert]:
    model = present.model
    if present.refused_model:
        yield HealthAlert(
            "model_refused",
            AlertLevel.WARNING,
            f"The model {present.refused_model} is live but cannot be loaded",
            f"The service goes on with {_named(model.version)}.",
            "Roll back with `feed models rollback`, or train a new one with `feed retrain`. The "
            "log says what is wrong with it (`bundle_refused`).",
            "/desk/models",
        )
    elif model.version == "none":
        if present.articles:
            yield HealthAlert(
                "model_missing",
                AlertLevel.HINT,
                "There is no model yet",
                "Feeds are ranked by the day-one weights: by what is read and by content.",
                "Once readers have clicked for a day or so, run `feed retrain`, and then run it "
                "regularly.",
                "/desk/models",
            )
    elif model.trained_at is not None and present.at - model.trained_at > MODEL_DAYS * DAY_S:
        days = (present.at - model.trained_at) / DAY_S
        yield HealthAlert(
            "model_old",
            AlertLevel.WARNING,
            f"The model is {days:.0f} days old",
            "It knows nothing about the articles and readers that have come since, so feeds get "
            "less personal.",
            "Run `feed retrain`, and find out why the scheduled run did not publish: its output "
            "says whether the gate refused the model.",
            "/desk/models",
        )


def _training(present: Present, _before: Collection[str]) -> Iterator[HealthAlert]:
    outcome, detail = present.training.outcome, present.training.detail.rstrip(".")
    if outcome == REFUSED_RUN:
        yield HealthAlert(
            "training_refused",
            AlertLevel.WARNING,
            "The gate refused the last model",
            f"{_named(present.model.version).capitalize()} goes on serving. The reason: {detail}.",
            "If the next run is refused too, look at what has changed in what readers do or in the "
            "settings of training. `feed retrain --force` publishes against the verdict.",
            "/desk/models",
        )
    elif outcome:
        yield HealthAlert(
            "training_failed",
            AlertLevel.WARNING,
            "The last training failed" if outcome == FAILED else "The last training was cut off",
            f"{_named(present.model.version).capitalize()} goes on serving. The reason: {detail}.",
            "Look at its log, and run `feed retrain` again.",
            "/desk/models",
        )


def _experiments(present: Present, _before: Collection[str]) -> Iterator[HealthAlert]:
    for number, one in enumerate(present.findings):
        yield HealthAlert(
            f"experiment/{one.experiment}/{number}",
            AlertLevel.WARNING,
            f"The experiment {one.experiment} needs attention",
            one.sentence,
            f"Read its report, and stop it with `feed experiment stop {one.experiment}` if it does "
            "harm.",
            f"/experiments/{one.experiment}",
        )


def _beginning(present: Present, _before: Collection[str]) -> Iterator[HealthAlert]:
    if not present.articles and present.snapshot_age_s is not None and present.store_answers:
        yield HealthAlert(
            "no_articles",
            AlertLevel.HINT,
            "There are no articles yet",
            "Readers see an empty page.",
            "Add a feed with `feed sources add ADDRESS`, send a file with `feed ingest FILE`, or "
            "send articles to `POST /v1/articles`.",
            "/desk/sources",
        )


_CHECKS: tuple[Callable[[Present, Collection[str]], Iterator[HealthAlert]], ...] = (
    check_store,
    check_worker,
    check_archive,
    _feeds,
    _sources,
    _model,
    _training,
    check_encoder,
    check_encoding_anew,
    _experiments,
    _beginning,
)


def _named(version: str) -> str:
    return "the day-one weights" if version == "none" else f"the model {version}"
