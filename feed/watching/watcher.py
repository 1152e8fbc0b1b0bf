"""The watch: looks at running experiments when it is time, stops harm, and tells people."""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from feed.catalogue.ranking_changes import settings_in_force
from feed.config import DAY_S, Settings
from feed.domain import ConflictError, NotFoundError, StoreUnavailableError
from feed.experiments.design.definitions import Experiment, OnBreach, Status
from feed.experiments.design.lifecycle import read_experiment, read_experiments, stop_experiment
from feed.experiments.design.ramp import due_step, ramp_experiment
from feed.experiments.design.stored_experiments import SUBJECTS
from feed.experiments.judgement.wording import percent
from feed.storage.redis_store import RedisStore
from feed.watching.alerts import Alert
from feed.watching.delivery import AlertSender, read_known
from feed.watching.findings import FindingKind, WatchFinding, WatchLook, failed_look
from feed.watching.look_process import LookProcess
from feed.watching.memory import Watched
from feed.watching.watch_metrics import ALERTS, FINDINGS, LOOKED_AT, LOOKS, STOPS

LEASE = "watch"
LEASE_SECONDS = 30.0
RETRY_S = 0.5
MINUTE_S = 60.0
LATEST_ENTRIES = 100
"""Entries of the audit log among which a stop is looked for."""
_CLOCK_TICK_S = 0.002
"""Times of experiments are stored in milliseconds."""

HOLDING = frozenset({FindingKind.GUARDRAIL, FindingKind.TRUST, FindingKind.REPORT})
"""Findings that hold back a planned step of the traffic."""

LookOnce = Callable[[Settings, Experiment, float, Callable[[], bool]], WatchLook | None]
"""As `LookProcess`."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LookOutcome:
    """What became of one look: its findings, the alerts that it made, and what was done."""

    experiment: Experiment
    look: WatchLook
    alerts: tuple[Alert, ...] = ()
    stopped: bool = False


class Watcher:
    """Watches experiments. Several may run: whoever holds the lease works, and only meanwhile.

    All that it must remember is in the store, so that after a restart, or on another machine, it
    goes on where it was: no report is made too early and nothing is told twice.

    Args:
        store: Of experiments and of what was found in them.
        settings: `watch_minutes`, `alert_url`, `alert_secret`, and what reports need.
        by: Who stops experiments, for the record.
        clock: Epoch seconds.
        look: Makes one look.
        chance: Gives numbers from 0 to 1 for the pauses between attempts.

    Raises:
        InvalidInputError: the webhook's settings are at fault.
    """

    def __init__(
        self,
        store: RedisStore,
        settings: Settings,
        *,
        by: str = "worker",
        clock: Callable[[], float] = time.time,
        look: LookOnce | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._settings = store, settings
        self._by, self._clock = by, clock
        self._look: LookOnce = look or LookProcess()
        self._sender = AlertSender(store, settings, clock, chance)
        self._owner = f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._stopping = threading.Event()

    def tick(self) -> list[LookOutcome]:
        """Send the alerts that are due, and look at the experiments that are due.

        Raises:
            StoreUnavailableError: the store does not answer; call again later.
        """
        known = self._known()
        due = [name for name, e in read_experiments(self._store).items() if self._is_due(e, known)]
        if not due and not self._sender.due(known):
            return []
        with self._leading() as leads:
            if not leads:
                return []
            self._sender.send_due(self._may_go_on)
            return self._look_at_each(due, lambda e: self._is_due(e, self._known()))

    def look_now(self, patience_s: float = 0.0) -> list[LookOutcome]:
        """Look at every running experiment, whenever the last look was, and send all alerts.

        Args:
            patience_s: How long to wait for another process that is at it, seconds.

        Raises:
            ConflictError: another process is still at it.
            StoreUnavailableError: the store does not answer.
        """
        end = time.monotonic() + patience_s
        while True:
            with self._leading() as leads:
                if leads:
                    names = list(read_experiments(self._store))
                    found = self._look_at_each(names, self._can_be_seen)
                    self._sender.send_due(self._may_go_on)
                    return found
            if time.monotonic() >= end:
                raise ConflictError("another watch is at work: try again when it has finished")
            time.sleep(RETRY_S)

    def deliver(self) -> None:
        """Send the alerts that are due, if nobody else is at it."""
        with self._leading() as leads:
            if leads:
                self._sender.send_due(self._may_go_on)

    def waiting(self) -> int:
        """Return the number of alerts that wait for their delivery."""
        return sum(len(one.waiting) for one in self._known().values())

    def interrupt(self) -> None:
        """Make a call that is at work end soon; callable from any thread."""
        self._stopping.set()

    def _known(self) -> dict[str, Watched]:
        return read_known(self._store)

    def _can_be_seen(self, experiment: Experiment) -> bool:
        return experiment.status is Status.RUNNING and experiment.started_at < self._clock()

    def _is_due(self, experiment: Experiment, known: dict[str, Watched]) -> bool:
        """Whether it is time for a look: one an interval, and a last one after the stop."""
        before = known.get(experiment.name)
        seen_at = before.at if before and before.version == experiment.version else 0.0
        if experiment.status is Status.STOPPED:
            return seen_at < experiment.stopped_at > self._clock() - DAY_S
        waited_s = self._clock() - (seen_at or experiment.started_at)
        pause_s = self._settings.watch_minutes * MINUTE_S
        was_set_back = seen_at > 0.0 > waited_s
        return self._can_be_seen(experiment) and (waited_s >= pause_s or was_set_back)

    def _look_at_each(
        self, names: list[str], wanted: Callable[[Experiment], bool]
    ) -> list[LookOutcome]:
        found = []
        for name in names:
            experiment = read_experiment(self._store, name)
            if self._may_go_on() and wanted(experiment):
                outcome = self._look_at(experiment)
                found += [outcome] if outcome else []
        if found:
            self._show_findings()
        return found

    def _look_at(self, experiment: Experiment) -> LookOutcome | None:
        look = self._try_to_look(experiment)
        if look is None or not self._may_go_on():
            return None
        LOOKS.labels("made" if look.verdict else "failed").inc()
        LOOKED_AT.set(look.at)
        stopped = self._has_stopped(experiment) or (
            self._must_stop(experiment, look) and self._stop(experiment)
        )
        step = None if stopped else self._due_step(experiment, look.at)
        if step is not None:
            look = self._take_step(experiment, step, look)
        before = self._known().get(experiment.name, Watched(open={}))
        after, alerts = before.remember(experiment, look, stopped=stopped)
        after = after.queue(alerts) if self._sender.is_set else after
        self._store.write_watched(experiment.name, after.to_json())
        for alert in alerts:
            _tell(alert)
        return LookOutcome(experiment, look, alerts, stopped)

    def _try_to_look(self, experiment: Experiment) -> WatchLook | None:
        now = self._clock()
        try:
            settings = settings_in_force(self._store, self._settings)
            return self._look(settings, experiment, now, self._may_go_on)
        except StoreUnavailableError:
            raise
        except Exception as error:  # whatever fails here, the other experiments are looked at
            log.warning("look_failed", experiment=experiment.name, exc_info=error)
            return failed_look(now, f"a defect ({type(error).__name__})")

    def _must_stop(self, experiment: Experiment, look: WatchLook) -> bool:
        return (
            experiment.on_breach is OnBreach.STOP
            and any(finding.may_stop for finding in look.findings)
            and self._present(experiment).status is Status.RUNNING
        )

    def _due_step(self, experiment: Experiment, at: float) -> float | None:
        return due_step(self._present(experiment), at)

    def _present(self, experiment: Experiment) -> Experiment:
        """Return what became of an experiment during a look; a newer version is another one."""
        present = read_experiment(self._store, experiment.name)
        is_same = present.version == experiment.version
        return present if is_same else replace(experiment, status=Status.STOPPED)

    def _has_stopped(self, experiment: Experiment) -> bool:
        """Whether this watch stopped an experiment before, perhaps without having said so."""
        if experiment.status is not Status.STOPPED:
            return False
        entries = self._store.read_audit(LATEST_ENTRIES, f"{SUBJECTS}{experiment.name}")
        return any(
            (e.action, e.by) == ("stopped", self._by)
            and abs(e.at - experiment.stopped_at) < _CLOCK_TICK_S
            for e in entries
        )

    def _stop(self, experiment: Experiment) -> bool:
        """Stop an experiment, unless somebody was faster."""
        try:
            stop_experiment(self._store, experiment.name, now=self._clock(), by=self._by)
        except (ConflictError, NotFoundError) as error:
            log.warning("experiment_not_stopped", experiment=experiment.name, reason=str(error))
            return False
        STOPS.inc()
        log.warning("experiment_stopped", experiment=experiment.name)
        return True

    def _take_step(self, experiment: Experiment, traffic: float, look: WatchLook) -> WatchLook:
        """Carry out a planned step of the traffic; return the look, with why the step waits."""
        reason = "a guardrail is breached, a trust check is red, or there is no report"
        if not any(finding.kind in HOLDING for finding in look.findings):
            try:
                ramp_experiment(
                    self._store, experiment.name, traffic, now=self._clock(), by=self._by
                )
            except (ConflictError, NotFoundError) as error:
                reason = str(error)
            else:
                log.info("experiment_ramped", experiment=experiment.name, traffic=traffic)
                return look
        sentence = f"The planned step to {percent(traffic)} of the readers waits: {reason}."
        waits = WatchFinding(
            kind=FindingKind.RAMP, subject=f"step to {percent(traffic)}", sentence=sentence
        )
        return replace(look, findings=(*look.findings, waits))

    def _show_findings(self) -> None:
        running = {
            e.name for e in read_experiments(self._store).values() if e.status is Status.RUNNING
        }
        known = self._known().items()
        found = Counter(f.kind for name, one in known if name in running for f in one.open.values())
        for kind in FindingKind:
            FINDINGS.labels(kind.value).set(found[kind.value])

    @contextmanager
    def _leading(self) -> Iterator[bool]:
        leads = self._may_go_on()
        try:
            yield leads
        finally:
            if leads:
                self._store.release_lease(LEASE, self._owner)

    def _may_go_on(self) -> bool:
        """Take or renew the lease, unless this watch should end."""
        return not self._stopping.is_set() and self._store.acquire_lease(
            LEASE, self._owner, LEASE_SECONDS
        )


def _tell(alert: Alert) -> None:
    ALERTS.labels(alert.kind).inc()
    log.warning(
        "experiment_alert",
        alert=alert.id,
        experiment=alert.experiment,
        kind=alert.kind,
        state=alert.state,
        sentence=alert.sentence,
        stopped=alert.stopped,
    )
