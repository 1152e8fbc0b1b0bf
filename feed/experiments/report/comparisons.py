"""The sections that compare variants: primary, guardrail and secondary metrics."""

from __future__ import annotations

from dataclasses import replace

from feed.documents.charts import Bar
from feed.documents.document import Block, Cell, DataTable, Figure, Heading, Paragraph, Row, Section
from feed.experiments.judgement.results import (
    Comparison,
    GuardrailResult,
    HoldoutResult,
    MetricResult,
    Report,
    TeamResult,
    VerdictKind,
)
from feed.experiments.judgement.standings import of
from feed.experiments.judgement.wording import (
    NONE,
    effect_change,
    effect_interval,
    join_words,
    metric_difference,
    metric_value,
    number,
    p_value,
    percent,
)
from feed.experiments.report.figures import effect_bar, effects_chart
from feed.experiments.report.front import is_sequential, titled
from feed.experiments.statistics.effects import Effect, Interval
from feed.experiments.statistics.sample_ratio import ALARM_BELOW

OUTCOMES = {
    "holds": Cell("✓ holds", tone="good"),
    "breached": Cell("✗ breached", tone="bad"),
    "unproven": Cell("? not proven", tone="warn"),
    "no_estimate": Cell("? no estimate", tone="warn"),
}


_EXPLORATORY = (
    "The window was chosen by hand and does not begin with the experiment. The intervals and"
    " p-values from here on are exploratory: no verdict follows from them."
)


def primary_section(report: Report) -> Section:
    """Return every estimate of every primary metric, with those that decide marked."""
    blocks: list[Block] = []
    if report.verdict.kind is VerdictKind.BROKEN:
        warning = (
            "A trust check failed. The numbers from here on are for finding the fault, not for"
            " deciding."
        )
        blocks.append(Paragraph(warning, "warning"))
    if report.chosen_by_hand:
        blocks.append(Paragraph(_EXPLORATORY, "warning"))
    for result in report.primaries:
        for comparison in result.comparisons:
            blocks += _primary(report, result, comparison)
    return Section("What decides", "Primary", "primary", blocks)


def _primary(report: Report, result: MetricResult, comparison: Comparison) -> list[Block]:
    title = titled(report, result.metric, comparison.treatment)
    note = result.metric.note or f"Measured: {result.metric.meaning}."
    blocks: list[Block] = [Heading(title), Paragraph(note, "note")]
    estimates = _estimates(report, result, comparison)
    if comparison.raw.relative is not None:
        target = result.metric.sign * report.experiment.minimum_effect
        chart = effects_chart([bar for bar, _ in estimates], target, "worth finding")
        blocks.append(Figure(chart, f"{title}: intervals of the relative effect"))
    if text := _correction(report, comparison):
        blocks.append(Paragraph(text, "note"))
    head = _head(report, "Estimate", comparison.treatment, "p-value")
    return [*blocks, DataTable(head, [row for _, row in estimates], stacked=True)]


def _correction(report: Report, comparison: Comparison) -> str:
    """Connect the intervals with the p-value that is corrected for all primary comparisons."""
    count, alpha = report.experiment.comparisons, report.experiment.alpha
    together, single = comparison.simultaneous_difference, _single_interval(report, comparison)
    if count < 2 or comparison.p_adjusted is None or together is None or report.chosen_by_hand:
        return ""
    text = (
        f"There are {count} primary comparisons. Corrected for all of them (Holm):"
        f" {p_value(comparison.p_adjusted)}. The interval “all together” holds for all of them at"
        " once (Bonferroni), and each of the others for one comparison only."
    )
    proven = comparison.p_adjusted < alpha
    if proven and together.covers(0.0):
        text += (
            " Holm's correction proves the effect although this interval still includes 0: it is"
            " a little stronger than any interval for all at once."
        )
    if not proven and single is not None and not single.covers(0.0):
        text += (
            f" The interval for this comparison alone leaves out 0, but among {count} comparisons"
            " that happens too often by chance, so the effect is not proven."
        )
    return text


def _single_interval(report: Report, comparison: Comparison) -> Interval | None:
    if is_sequential(report.experiment):
        return comparison.sequence.interval if comparison.sequence else None
    return comparison.deciding.interval


def _estimates(
    report: Report, result: MetricResult, comparison: Comparison
) -> list[tuple[Bar, Row]]:
    """Return the raw, adjusted and always-valid estimates of a primary metric."""
    adjusted, sequence = comparison.adjusted, comparison.sequence
    sequential = is_sequential(report.experiment)
    several = report.experiment.comparisons > 1
    decides = not (sequential or several) and adjusted is None
    raw = Cell("Raw", (comparison.raw.reason,), strong=decides)
    found = [_estimate(raw, comparison.raw, result)]
    if adjusted is not None:
        saved = adjusted.variance_reduction
        note = adjusted.effect.reason if saved is None else f"variance reduced by {percent(saved)}"
        name = Cell("Adjusted (CUPED)", (note,), strong=not (sequential or several))
        found.append(_estimate(name, adjusted.effect, result))
    if sequence is not None:
        note = sequence.reason or "may be read at every look"
        name = Cell("Always valid", (note,), strong=sequential and not several)
        effect = replace(
            comparison.deciding,
            interval=sequence.interval,
            relative_interval=sequence.relative_interval,
            p_value=sequence.p_value,
        )
        found.append(_estimate(name, effect, result))
    if several:
        name = Cell("All together", ("corrected for all primary comparisons",), strong=True)
        effect = replace(
            comparison.deciding,
            interval=comparison.simultaneous_difference,
            relative_interval=comparison.simultaneous,
            p_value=comparison.p_adjusted,
        )
        found.append(_estimate(name, effect, result))
    if comparison.corrected is not None:
        name = Cell("Early stop taken into account", ("an early stop overstates the effect",))
        found.append(_estimate(name, _corrected_effect(comparison), result))
    return found


def _corrected_effect(comparison: Comparison) -> Effect:
    """Return the effect without what an early stop adds to it; it has no interval of its own."""
    effect, relative = comparison.deciding, comparison.corrected or 0.0
    control = effect.control.mean or 0.0
    treatment = replace(effect.treatment, mean=control * (1.0 + relative))
    return Effect(
        effect.control, treatment, effect.level, difference=control * relative, relative=relative
    )


def _estimate(name: Cell, effect: Effect, result: MetricResult) -> tuple[Bar, Row]:
    """Return one estimate as a line of a figure and as a row of a table."""
    relative, interval, form = effect.relative, effect.relative_interval, result.metric.form
    difference = metric_difference(effect.difference, form)
    row = (
        name,
        metric_value(effect.control.mean, form),
        Cell(metric_value(effect.treatment.mean, form), (difference,)),
        percent(relative, signed=True),
        effect_interval(interval, effect.interval, form),
        write_p(effect.p_value),
    )
    bar = effect_bar(str(name.text), relative, interval, result.metric.sign, strong=name.strong)
    return bar, row


def guardrails_section(report: Report) -> Section:
    """Return what must not get worse, and whether it did."""
    note = (
        "A guardrail holds when a loss as large as its margin can be ruled out; finding no loss is"
        " not enough."
    )
    if is_sequential(report.experiment):
        note += " Like the primary metric, it may be read at every look."
    note += (
        " The interval is that of the test: each of its ends is wrong in at most"
        f" {percent(report.experiment.alpha)} of experiments."
    )
    control, *treatments = [arm.name for arm in report.arms]
    treated = treatments[0] if len(treatments) == 1 else "treatment"
    head = ("Guardrail", "Outcome", control, treated, "Change", "Margin", "p-value")
    block = (
        DataTable(
            head,
            [_guardrail(result) for result in report.guardrails],
            prose=("Outcome",),
            stacked=True,
        )
        if report.guardrails
        else Paragraph("No guardrail was registered.")
    )
    return Section("What must not get worse", "Guardrails", "guardrails", [block], note)


def _guardrail(result: GuardrailResult) -> Row:
    effect, form, spec = result.comparison.deciding, result.metric.form, result.spec
    worse = "more" if result.metric.better == "down" else "less"
    margin = percent(spec.margin) if spec.relative else metric_value(spec.margin, form)
    outcome, breached = result.outcome, result.outcome.verdict == "breached"
    relative = (effect.relative, outcome.relative_interval) if spec.relative else (None, None)
    interval = effect_interval(relative[1], outcome.interval, form)
    return (
        Cell(result.metric.title, (result.comparison.treatment,)),
        replace(OUTCOMES[outcome.verdict], notes=(outcome.reason,)),
        metric_value(effect.control.mean, form),
        metric_value(effect.treatment.mean, form),
        Cell(
            effect_change(relative[0], effect.difference, form),
            ("" if interval == NONE else interval,),
        ),
        f"{margin} {worse}",
        write_p(outcome.p_breached if breached else outcome.p_holds),
    )


def secondary_section(report: Report) -> Section:
    """Return the metrics that decide nothing."""
    note = (
        "Secondary metrics decide nothing. Their p-values are corrected for each other (Benjamini"
        " and Hochberg). Their intervals are not: one that leaves out 0 proves nothing beside a"
        " large corrected p."
    )
    blocks: list[Block] = []
    for arm in report.experiment.treatments:
        if len(report.experiment.treatments) > 1:
            blocks.append(Heading(arm.name))
        mine = [(r, of(r, arm.name)) for r in report.secondaries]
        measured = [(r, c) for r, c in mine if c.deciding.p_value is not None]
        found = [_secondary(report, result, comparison) for result, comparison in measured]
        if bars := [bar for bar, _ in found if bar.value is not None and bar.low is not None]:
            label = f"Relative effects on secondary metrics in {arm.name}"
            blocks.append(Figure(effects_chart(bars), label))
        head = _head(report, "Metric", arm.name, "Corrected p")
        blocks.append(DataTable(head, [row for _, row in found]))
        if constant := [r for r, c in mine if c.deciding.p_value is None]:
            names = join_words([_constant(r, arm.name) for r in constant])
            blocks.append(Paragraph(f"Without a difference to measure: {names}.", "note"))
    return Section("What else moved", "Secondary", "secondary", blocks, note)


def _secondary(report: Report, result: MetricResult, comparison: Comparison) -> tuple[Bar, Row]:
    """Return a secondary metric with its corrected p-value; only a proven one has a colour."""
    p, effect = comparison.p_adjusted, comparison.deciding
    _, row = _estimate(Cell(result.metric.title), replace(effect, p_value=p), result)
    sign = 0.0 if result.metric.better == "neither" else result.metric.sign
    proven = p is not None and p < report.experiment.alpha and not report.chosen_by_hand
    interval = effect.relative_interval
    return effect_bar(result.metric.title, effect.relative, interval, sign, proven=proven), row


def _constant(result: MetricResult, treatment: str) -> str:
    effect, form = of(result, treatment).deciding, result.metric.form
    means = [metric_value(arm.mean, form) for arm in (effect.control, effect.treatment)]
    return f"{result.metric.title} ({' and '.join(means)})"


def holdout_section(report: Report, holdout: HoldoutResult) -> Section:
    """Return the comparison with the readers who are kept out of every experiment."""
    blocks: list[Block] = [Paragraph(_holdout_text(holdout))]
    if holdout.metrics:
        note = (
            "This is what being in the experiment is worth, whatever the variant. It is"
            " exploratory: single looks, adjusted for the time before the start, not corrected"
            " for their number."
        )
        rows = [
            (
                Cell(found.treatment, (result.metric.title,)),
                metric_value(found.deciding.control.mean, result.metric.form),
                metric_value(found.deciding.treatment.mean, result.metric.form),
                percent(found.deciding.relative, signed=True),
                effect_interval(
                    found.deciding.relative_interval, found.deciding.interval, result.metric.form
                ),
                write_p(found.deciding.p_value),
            )
            for result in holdout.metrics
            for found in result.comparisons
        ]
        head = ("Variant", "Held out", "In it", *_head(report, "", "", "p-value")[3:])
        blocks += [Paragraph(note, "note"), DataTable(head, rows)]
    return Section("Against readers held out", "Held out", "holdout", blocks)


def _holdout_text(holdout: HoldoutResult) -> str:
    if not holdout.readers:
        return "No held-out reader was served a feed that this experiment could have changed."
    text = (
        f"{number(holdout.readers)} readers are kept out of every experiment; from the registered"
        f" shares, {number(round(holdout.expected))} are expected ({p_value(holdout.p_value)})."
    )
    if holdout.p_value is not None and holdout.p_value < ALARM_BELOW:
        text += " That is too far off: do not trust the comparison."
    return text


def teams_section(report: Report) -> Section:
    """Return which of two interleaved rankings the readers clicked more."""
    note = (
        "Two rankings fill one feed in turns; each click is credited to the ranking that picked"
        " the slot. The same reader judges both, so far fewer readers are needed than between"
        " variants."
    )
    if is_sequential(report.experiment):
        note += " The p-value is that of the mean credit and is valid at every look."
    if len(report.teams) > 1:
        note += " The p-values are corrected for each other (Holm)."
    won = ("Readers with a click", "Readers won", "Share of the second", "p-value", "Result")
    rows = [_team(result, report.experiment.alpha) for result in report.teams]
    table = DataTable(("Rankings", *won), rows, prose=("Result",))
    return Section("Interleaving", "Interleaving", "teams", [table], note)


def _team(result: TeamResult, alpha: float) -> Row:
    found, sequence, p = result.preference, result.sequence, result.p_value
    ahead = found.wins_b - found.wins_a if sequence is None else found.credit or 0.0
    if found.share_b is None:
        meaning = "no credited click tells the two apart"
    elif p is None:
        meaning = (sequence.reason if sequence else "") or "every reader is tied"
    elif p < alpha:
        meaning = f"readers click {result.b if ahead > 0 else result.a} more"
    else:
        meaning = "no preference shown"
    return (
        f"{result.a} against {result.b}",
        number(found.readers),
        f"{number(found.wins_a)} : {number(found.wins_b)} ({number(found.ties)} ties)",
        percent(found.share_b),
        write_p(p),
        meaning,
    )


def power_section(report: Report) -> Section:
    """Return what the readers so far could have shown."""
    titles = {result.metric.name: result.metric.title for result in report.primaries}
    note = "For the effect registered before the start, with the readers so far"
    if is_sequential(report.experiment):
        note += ", at the width of the always-valid interval"
    if (count := report.experiment.comparisons) > 1:
        note += f", corrected for all {count} primary comparisons"
    rows = [
        (
            titles[r.metric],
            r.treatment,
            percent(r.registered_effect),
            percent(r.power),
            percent(r.detectable),
        )
        for r in report.power
    ]
    found = f"Effect found with {percent(report.experiment.power, digits=0)} chance"
    head = ("Metric", "Treatment", "Registered effect", "Chance to find it so far", found)
    return Section("Power reached", "Power", "power", [DataTable(head, rows)], f"{note}.")


def write_p(value: float | None) -> str:
    """Write a p-value in a table, where a missing one is a dash."""
    return p_value(value) if value is not None else NONE


def _head(report: Report, first: str, treatment: str, last: str) -> tuple[str, ...]:
    control, interval = (
        report.experiment.control.name,
        percent(1.0 - report.experiment.alpha, digits=0),
    )
    return first, control, treatment, "Relative effect", f"{interval} interval", last
