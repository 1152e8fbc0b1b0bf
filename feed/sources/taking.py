"""What a check leads to: the next state of its source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from feed.ingest.documents import Documents
from feed.ingest.limits import shorten
from feed.sources.checking import CheckOutcome, SourceCheck
from feed.sources.schedule import interval_after_success, spread, wait_after_failure
from feed.sources.subscription import MOST_FINDINGS, Source, SourceState

LONGEST_TEXT = 200
LONGEST_MESSAGE = 1_000
SUCCESSES = {CheckOutcome.READ, CheckOutcome.UNCHANGED}
NEWS = ("created", "updated")


def next_state(
    source: Source,
    state: SourceState,
    check: SourceCheck,
    statuses: Sequence[str],
    now: float,
    chance: float,
) -> SourceState:
    """Return the state of a source after a check, and after its articles were taken.

    Args:
        source: as it was when the check began.
        state: before the check.
        check: what was found.
        statuses: what became of each article; created and updated are news.
        now: epoch seconds.
        chance: random, from 0 to 1, for the jitter.
    """
    state = replace(
        state, checked_at=now, answered=source.asked, message=_sentence(check, statuses), gone=False
    )
    state = replace(state, feed_address=check.feed_address)
    if check.outcome not in SUCCESSES:
        failures = state.failures + 1
        wait_s = wait_after_failure(source, failures, check.wait_s)
        is_gone = check.outcome is CheckOutcome.GONE
        return replace(state, failures=failures, gone=is_gone, next_at=now + spread(wait_s, chance))
    changed = any(status in NEWS for status in statuses)
    interval_s = interval_after_success(source, state, check.wait_s, changed=changed)
    state = replace(
        state,
        etag=check.etag,
        last_modified=check.last_modified,
        digest=check.digest,
        succeeded_at=now,
        changed_at=now if changed else state.changed_at,
        next_at=now + spread(interval_s, chance),
        interval_s=interval_s,
        failures=0,
    )
    return _with_findings(state, check.documents) if check.documents else state


def _with_findings(state: SourceState, documents: Documents) -> SourceState:
    found = [*documents.faults, *documents.notes][:MOST_FINDINGS]
    return replace(
        state,
        title=shorten(documents.title, LONGEST_TEXT),
        wait_s=documents.wait_s,
        articles=len(documents.articles),
        left_out=len(documents.faults) + len(documents.events),
        findings=tuple(
            (shorten(f.record, LONGEST_TEXT), f.field, shorten(f.rule, LONGEST_TEXT)) for f in found
        ),
    )


def _sentence(check: SourceCheck, statuses: Iterable[str]) -> str:
    """Return what happened, in words."""
    documents = check.documents
    if documents is None:
        return shorten(check.message, LONGEST_MESSAGE)
    counts = Counter(statuses)
    words = [f"{counts[status]} {status}" for status in NEWS if counts[status]]
    parts = [f"{_number(len(documents.articles), 'article')} ({', '.join(words) or 'nothing new'})"]
    if documents.faults:
        parts.append(f"{_number(len(documents.faults), 'record')} left out")
    if documents.events:
        events = _number(len(documents.events), "event")
        parts.append(f"{events} left out, because a source gives articles only")
    return shorten("; ".join(filter(None, [check.message, *parts])), LONGEST_MESSAGE)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
