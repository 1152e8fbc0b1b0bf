"""Growing the traffic of a running experiment by steps, without dealing anybody anew."""

from __future__ import annotations

from feed.config import DAY_S
from feed.domain import ConflictError, InvalidInputError
from feed.experiments.design.assignment import BUCKETS, room_from
from feed.experiments.design.definitions import Experiment, Status
from feed.experiments.design.lifecycle import parse_experiments, running_experiments
from feed.experiments.design.stored_experiments import Act, advance, find_stored
from feed.experiments.design.traffic import TrafficStep, count_buckets
from feed.storage.control_part import ControlPart


def due_step(experiment: Experiment, now: float) -> float | None:
    """Return the traffic that a planned step asks for by now; None if no step is due.

    Of several steps that are due, for example because the worker did not run, the last one counts.
    """
    if experiment.status is not Status.RUNNING:
        return None
    days = (now - experiment.started_at) / DAY_S
    due = [step.traffic for step in experiment.ramp if step.after_days <= days]
    low, high = experiment.buckets
    return due[-1] if due and count_buckets(due[-1]) > high - low else None


def ramp_experiment(
    store: ControlPart, name: str, traffic: float, *, now: float, by: str
) -> Experiment:
    """Let more of the layer's readers into a running experiment.

    Its range of buckets grows at the end. So whoever was in stays in, and since the variant does
    not depend on the range, keeps the variant.

    Args:
        store: Where definitions live.
        name: Of the experiment.
        traffic: Share of the layer's readers from now on, 0 to 1.
        now: Epoch seconds.
        by: Who does it, for the audit log.

    Raises:
        NotFoundError: there is no such experiment.
        InvalidInputError: the traffic is no share.
        ConflictError: the experiment is not running, the traffic would not grow, or the readers
            that are wanted belong to another experiment.
    """
    if not 0.0 < traffic <= 1.0:
        raise InvalidInputError("traffic", "must be more than 0 and at most 1")
    stored = store.read_experiments()
    present = find_stored(stored, name)
    running = present.current
    if running.status is not Status.RUNNING:
        raise ConflictError(f"experiment {name} is {running.status}, only a running one can grow")
    low, high = running.buckets
    size = count_buckets(traffic)
    if size <= high - low:
        raise ConflictError(
            f"experiment {name} has {(high - low) / BUCKETS:.2%} of the readers already, and its"
            " traffic never shrinks: whoever was in would see a change that is none of the"
            " variants'. Stop it, and create a new version with less traffic"
        )
    others = running_experiments(parse_experiments(stored).values())
    beside = [e for e in others if e.layer == running.layer and e.name != name]
    room = room_from(low, [other.held for other in beside])
    if size > room:
        raise ConflictError(
            f"experiment {name} can grow to {room / BUCKETS:.2%} of the readers of layer"
            f" {running.layer}: the readers beyond that belong to"
            f" {', '.join(other.name for other in beside)}"
        )
    reserved = running.held
    return advance(
        store,
        present,
        Act("ramped", by, now),
        relies_on=stored,
        buckets=(low, low + size),
        reserved=(low, max(reserved[1], low + size)),
        steps=(*running.opened, TrafficStep(now, size / BUCKETS)),
    )
