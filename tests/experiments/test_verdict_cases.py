"""Every combination of rule, status, progress, gain, guardrail and trust has a sound verdict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest

from feed.experiments.design.definitions import (
    Experiment,
    GuardrailSpec,
    Status,
    StoppingRule,
    Variant,
)
from feed.experiments.design.metrics import METRICS
from feed.experiments.judgement.results import (
    ArmSummary,
    Cause,
    CheckState,
    Comparison,
    GuardrailResult,
    MetricResult,
    TrustCheck,
    Verdict,
    VerdictKind,
)
from feed.experiments.judgement.verdict import decide
from feed.experiments.statistics.effects import ArmMean, Effect, Interval
from feed.experiments.statistics.noninferiority import Guardrail

SHIP, NOT, OPEN = VerdictKind.SHIP, VerdictKind.DO_NOT_SHIP, VerdictKind.INCONCLUSIVE
GO_ON, BROKEN = VerdictKind.GO_ON, VerdictKind.BROKEN

SPEC = GuardrailSpec(metric="hides", margin=0.1)
EFFECTS = {
    "gain": (0.078, Interval(0.02, 0.13), 0.001),
    "small gain": (0.02, Interval(0.01, 0.03), 0.001),
    "loss": (-0.078, Interval(-0.13, -0.02), 0.001),
    "futile": (0.01, Interval(-0.02, 0.04), 0.6),
    "open": (0.078, Interval(-0.02, 0.17), 0.09),
    "missing": (None, None, None),
}
DAYS = {"early": 2.0, "running": 9.0, "over": 15.0}


@dataclass(frozen=True)
class Case:
    rule: StoppingRule
    status: Status
    days: str
    enough: bool
    effects: tuple[str, ...]
    guards: tuple[str, ...]
    trusted: bool

    @property
    def complete(self) -> bool:
        return self.enough and self.days == "over"

    @property
    def decides(self) -> bool:
        """Whether a primary metric may decide."""
        if self.rule is StoppingRule.FIXED:
            return self.complete
        return self.days != "early"

    @property
    def breaches(self) -> bool:
        """Whether a guardrail may."""
        return self.rule is StoppingRule.SEQUENTIAL or self.complete


def cases(treatments: int, effects: Iterator[str] | tuple[str, ...]) -> Iterator[Case]:
    guards = ("none", "holds", "breached", "unproven")
    arms = [
        tuple(zip(effect, guard, strict=True))
        for effect in product(effects, repeat=treatments)
        for guard in product(guards, repeat=treatments)
    ]
    for rule, status, days, enough, arm, trusted in product(
        StoppingRule, (Status.RUNNING, Status.STOPPED), DAYS, (True, False), arms, (True, False)
    ):
        effect, guard = zip(*arm, strict=True)
        if ("none" in guard) and set(guard) != {"none"}:
            continue
        yield Case(rule, status, days, enough, effect, guard, trusted)


def comparison(name: str, effect: str) -> Comparison:
    relative, interval, p = EFFECTS[effect]
    means = ArmMean(500, 2.0, 0.01), ArmMean(500, 2.0 * (1 + (relative or 0.0)), 0.01)
    found = Effect(*means, 0.95)
    if relative is not None:
        found = replace(found, difference=2.0 * relative, relative=relative, p_value=p)
        found = replace(found, relative_interval=interval, standard_error=0.1)
    return Comparison(name, found, None, None, p, p, simultaneous=interval)


def judge(case: Case) -> Verdict:
    names = ("b", "c")[: len(case.effects)]
    share = 1.0 / (1 + len(names))
    design = Experiment(
        name="x",
        hypothesis="h",
        owner="o",
        variants=tuple(Variant(name=n, share=share) for n in ("a", *names)),
        guardrails=() if "none" in case.guards else (SPEC,),
        stopping_rule=case.rule,
        status=case.status,
        planned_readers=1000,
        planned_days=14,
    )
    primary = MetricResult(
        METRICS["qualified_reads"],
        tuple(comparison(n, e) for n, e in zip(names, case.effects, strict=True)),
    )
    guardrails = [
        GuardrailResult(SPEC, METRICS["hides"], comparison(n, "open"), Guardrail(g, 0.1))  # type: ignore[arg-type]
        for n, g in zip(names, case.guards, strict=True)
        if g != "none"
    ]
    state = CheckState.PASSED if case.trusted else CheckState.FAILED
    check = TrustCheck("Join keys", state, "Half are torn.", fault="keys are torn")
    readers = 600 if case.enough else 300
    arms = [ArmSummary(n, share, readers, readers, 1, 1) for n in ("a", *names)]
    return decide(
        design, [check], arms, [primary], guardrails, days_run=DAYS[case.days], arrivals=10.0
    )


def expected(case: Case) -> tuple[VerdictKind, set[Cause]]:
    """The rule once more, in the words of the documentation."""
    if not case.trusted:
        return BROKEN, set()
    causes: list[Cause | None] = []
    for effect, guard in zip(case.effects, case.guards, strict=True):
        gain, loss = "gain" in effect, effect == "loss"
        if (guard == "breached" and case.breaches) or (loss and case.decides):
            causes.append(Cause.HARM)
        elif gain and guard in {"none", "holds"} and case.decides:
            return SHIP, set()
        else:
            causes.append(Cause.FUTILITY if effect == "futile" and case.decides else None)
    if None not in causes:
        return NOT, {cause for cause in causes if cause}
    return (OPEN if case.days == "over" or case.status is Status.STOPPED else GO_ON), set()


@pytest.mark.parametrize("treatments", [1, 2])
def test_every_combination_has_the_verdict_of_the_table(treatments: int) -> None:
    effects = tuple(EFFECTS) if treatments == 1 else ("gain", "loss", "futile", "open")
    seen = set()
    for case in cases(treatments, effects):
        found = judge(case)
        kind, causes = expected(case)
        assert (found.kind, set(found.causes)) == (kind, causes), case
        seen.add(kind)
        check_words(case, found)
    assert seen == set(VerdictKind)


def check_words(case: Case, found: Verdict) -> None:
    """The headline says what the verdict is, names who it is about, and contradicts nothing."""
    text = found.sentence
    assert text.lower().startswith(found.kind.value), text
    assert text.endswith(".")
    assert ".." not in text
    assert "None" not in text
    assert "no proven gain" not in text.lower(), text
    if found.kind is BROKEN:
        return
    proven = {"gain", "small gain"} & set(case.effects)
    if not (proven and case.decides):
        assert "gain is proven" not in text, text
    if found.kind in {OPEN, GO_ON} and not case.decides:
        assert "ruled out" not in text, text
    if found.kind is SHIP:
        assert found.variant in text
        assert "rose" in text
        assert "got worse" not in text
    if len(case.effects) > 1 and found.kind is not GO_ON:
        assert re.search(r"\bb\b", text), text
        assert re.search(r"\bc\b", text), text
    if set(case.effects) == {"missing"}:
        assert "rose" not in text
        assert "fell" not in text
    assert len(found.reasons) > len(case.effects)
