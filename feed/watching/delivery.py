"""Sends the alerts that wait in the store, and tries again later what fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from feed.config import Settings
from feed.storage.redis_store import RedisStore
from feed.watching.alerts import LONGEST_WAIT_S, Alert, pause_after
from feed.watching.memory import Watched
from feed.watching.watch_metrics import DELIVERIES
from feed.watching.webhook import Webhook

log = structlog.get_logger(__name__)


def read_known(store: RedisStore) -> dict[str, Watched]:
    """Return what is known of each experiment, by name."""
    return {name: Watched.from_json(data) for name, data in store.read_watched().items()}


class AlertSender:
    """Sends alerts to the webhook, if there is one. Only the holder of the lease may call it.

    Args:
        store: Where alerts wait.
        settings: `alert_url`, `alert_secret` and `public_url`.
        clock: Epoch seconds.
        chance: Gives numbers from 0 to 1 for the pauses between attempts.

    Raises:
        InvalidInputError: the webhook's settings are at fault.
    """

    def __init__(
        self,
        store: RedisStore,
        settings: Settings,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._store, self._clock, self._chance = store, clock, chance
        self._webhook = Webhook(settings)
        self._public_url = settings.public_url

    @property
    def is_set(self) -> bool:
        """Whether alerts go anywhere but into the log and the metrics."""
        return self._webhook.is_set

    def due(self, known: Mapping[str, Watched]) -> list[Alert]:
        """Return the alerts that should be sent now, oldest first."""
        now, waiting = self._clock(), [a for one in known.values() for a in one.waiting]
        due = [alert for alert in waiting if self.is_set and alert.due_at <= now]
        return sorted(due, key=lambda alert: alert.at)

    def send_due(self, may_go_on: Callable[[], bool]) -> None:
        """Send what is due; the first failure ends it until the next call.

        So a receiver that does not answer costs one attempt, not one for every alert.
        """
        for alert in self.due(read_known(self._store)):
            if not may_go_on() or not self._send(alert):
                return

    def _send(self, alert: Alert) -> bool:
        now = self._clock()
        dropped = now - alert.at > LONGEST_WAIT_S
        reason = "" if dropped else self._webhook.post(alert.body(self._public_url), now)
        known = read_known(self._store).get(alert.experiment, Watched(open={}))
        pause_s = pause_after(alert.tries, self._chance())
        after = known.delay(alert, now + pause_s) if reason else known.without(alert)
        self._store.write_watched(alert.experiment, after.to_json())
        outcome = "dropped" if dropped else "failed" if reason else "delivered"
        DELIVERIES.labels(outcome).inc()
        if reason or dropped:
            log.warning("alert_not_delivered", alert=alert.id, dropped=dropped, reason=reason)
        return not reason
