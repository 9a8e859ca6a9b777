"""Every arm beside every other: robust summaries, and whether it beats the best arm that costs nothing."""

from __future__ import annotations

from collections.abc import Mapping

from crestfall.analysis.bootstrap import FEWEST_UNITS, Interval
from crestfall.analysis.compare import Comparison
from crestfall.core.rng import stream
from research.paper.aggregate import improvement_interval, iqm_interval
from research.paper.arms import BASE, FREE, Arm, Results
from research.paper.parts import ARM, END, PAIRED, coverage_note, end_cells, family_note, notes, paired_cells, span
from research.paper.table import Column, Table, Value

P_VALUES = (
    Column("paired t, p", "p"),
    Column("sign-flip, p", "p"),
    Column("sign-flip, p (Holm)", "p"),
)


def arms(results: Results) -> Table:
    """End of chain of every arm, compared with naive."""
    columns = (
        ARM,
        *END,
        Column("IQM", "points"),
        Column("IQM 95% interval", "points", "interval"),
        Column("P(better than naive)", "two"),
        Column("P 95% interval", "two", "interval"),
        *PAIRED,
        *P_VALUES,
    )
    claims = results.compared("naive", [arm.method for arm in results.controlled])
    paired = claims | results.compared("naive", list(FREE))
    naive = results.arms.get("naive")
    intervals: list[Interval | None] = []
    rows = []
    for arm in results.arms.values():
        trimmed, better = _iqm(arm), _better(arm, naive)
        intervals += [arm.interval, trimmed, better]
        c = paired.get(arm.method)
        estimates = [(None, None) if i is None else (i.estimate, span(i)) for i in (trimmed, better)]
        rows.append((arm.method, *end_cells(arm), *estimates[0], *estimates[1], *paired_cells(c), *_p_values(c)))
    foot = (
        f"Differences are paired with naive by seed. {family_note(claims.values())} The baselines are a family of "
        "their own. IQM (interquartile mean) and the probability that a seed of the arm ends above a seed of naive as "
        "in Agarwal et al. (2021).",
        coverage_note(intervals),
        results.standing,
    )
    return Table("arms", "Every arm", columns, tuple(rows), foot)


def _iqm(arm: Arm) -> Interval | None:
    if arm.n < FEWEST_UNITS:
        return None
    return iqm_interval(arm.ends_N, stream("paper", "IQM", arm.method))


def _better(arm: Arm, naive: Arm | None) -> Interval | None:
    if naive is None or arm is naive or min(arm.n, naive.n) < FEWEST_UNITS:
        return None
    return improvement_interval(arm.ends_N, naive.ends_N, stream("paper", "improvement", arm.method))


def _p_values(c: Comparison | None) -> tuple[Value, ...]:
    """None below six seeds: no p-value could mean anything there."""
    if c is None or not c.significance_possible:
        return None, None, None
    return c.t_p_value, c.sign_flip_p_value, c.holm_p_value


def free(results: Results) -> Table:
    """Every other arm against the best baseline, which needs no evaluation."""
    best = best_free(results)
    paired = results.compared(best.method, [arm.method for arm in results.controlled])
    columns = (ARM, *END, Column("beats the best baseline"), *PAIRED, *P_VALUES)
    verdicts = {arm.method: beats(paired.get(arm.method)) for arm in results.controlled}
    rows: list[tuple[Value, ...]] = []
    for arm in results.present(FREE):
        rows.append((f"{arm.method} (baseline)", *end_cells(arm), None, *paired_cells(None), None, None, None))
    for arm in results.controlled:
        c = paired.get(arm.method)
        rows.append((arm.method, *end_cells(arm), verdicts[arm.method], *paired_cells(c), *_p_values(c)))
    absent = [f"{name} ({what})" for name, what in FREE.items() if name not in results.arms]
    foot = notes(
        list(results.arms.values()),
        results.standing,
        f"The best baseline is {best.method} ({FREE[best.method]}): the one with the highest mean here, which favours "
        "it in the comparison. Differences are paired with it by seed, over the seeds that both have. "
        f"{family_note(paired.values())}",
        *_spelled_out(best.method, verdicts),
        f"Baselines without a finished chain: {'; '.join(absent)}." if absent else "",
        paper=False,
    )
    return Table("free", "Against the best baseline", columns, tuple(rows), foot)


def _spelled_out(best: str, verdicts: Mapping[str, str]) -> tuple[str, str]:
    """Two phrases: the arms that beat the best baseline; those that do not, or cannot be shown to."""
    winners = [m for m, verdict in verdicts.items() if verdict == "yes"]
    others = [f"{m} ({verdict.removeprefix('no: ')})" for m, verdict in verdicts.items() if verdict != "yes"]
    won = f"Shown to beat {best}: {', '.join(winners) or 'none'}."
    return won, f"Not shown to beat it: {', '.join(others).replace(' (no)', '') or 'none'}."


def best_free(results: Results) -> Arm:
    """There always is one: the base policy."""
    return max(results.present(FREE), key=lambda arm: (arm.mean_end, arm.method == BASE))


def beats(c: Comparison | None) -> str:
    if c is None:
        return "too few shared seeds"
    if not c.significance_possible:
        return "no claim possible"
    if not c.significant:
        return "no"
    return "yes" if c.mean_difference > 0 else "no: below it"
