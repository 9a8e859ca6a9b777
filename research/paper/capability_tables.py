"""Tables of a policy's other abilities (capability vector, unseen problems), and whether it forgets or falls as a whole
(old campaigns' problems, training that goes on from a collapsed policy: the paper's Table 2)."""

from __future__ import annotations

from collections.abc import Mapping

from crestfall.analysis.trajectory import Run
from research.paper.arms import Arm, Chain, Results
from research.paper.parts import ARM, BY_SEED, PAPER_NOTE, SEEDS, by_seed, mean
from research.paper.published import published
from research.paper.table import Column, Table, Value

MEMBERS = ("pass_at_1", "pass_at_16", "diversity", "hard_case_accuracy")
NAMES = ("pass@1", "pass@16", "diversity", "hard cases")


def capability(results: Results) -> Table:
    """The capability vector on report, of the first policy of a chain and of its final weights."""
    pairs = [(f"{name}, before", f"{name}, after") for name in (*NAMES, "unseen kinds")]
    columns = (ARM, SEEDS, *(Column(name, "points") for pair in pairs for name in pair))
    rows = [(arm.method, arm.n, *_vector(arm)) for arm in results.trained]
    foot = (
        "Means over chains. Before: the first campaign's start; after: the final weights of the last campaign, on its "
        "own report set; unseen kinds: problems of a kind that is never trained on, the same before and after. A "
        "pass@1 that rises while pass@16 or diversity falls is sharpening. – not measured.",
        results.standing,
    )
    return Table("capability", "Capability vector", columns, tuple(rows), foot)


def _vector(arm: Arm) -> tuple[float | None, ...]:
    ends = [_first_and_last(chain.run) for chain in arm.chains]
    cells: list[float | None] = []
    for member in MEMBERS:
        cells += [mean(vectors[i].get(member) for vectors in ends) for i in (0, 1)]
    unseen = [[e["evaluation"]["pass_at_1"] for e in chain.run.extra.get("ood", ())] for chain in arm.chains]
    return *cells, *(mean(values[i] for values in unseen if values) for i in (0, -1))


def _first_and_last(run: Run) -> tuple[Mapping[str, float], Mapping[str, float]]:
    events = sorted(run.extra.get("capability", ()), key=lambda e: int(e["campaign"]))
    if not events:
        return {}, {}
    return events[0]["report"].get("start", {}), events[-1]["report"].get("handed_on", {})


def forgetting(results: Results) -> Table:
    """Old problems and the final set: the final weights of a campaign, and the end of the chain."""
    columns = (
        ARM,
        Column("old sets", "count"),
        Column("old sets, final weights", "points"),
        Column("old sets, end of chain", "points"),
        Column("change", "points"),
        Column("final set, final weights", "points"),
        Column("final set, end of chain", "points"),
        Column("change of final set", "points"),
    )
    rows = []
    for arm in results.trained:
        found = [pair for chain in arm.chains for pair in _revisited(chain)]
        old, new, final_old, final_new = (mean(pair[i] for pair in found) for i in range(4))
        on_final = (final_old, final_new, _less(final_new, final_old))
        rows.append((arm.method, len(found), old, new, _less(new, old), *on_final))
    foot = (
        "Old sets: report sets of earlier campaigns, evaluated again with the final weights of the last campaign. If "
        "they lose more than the final set, on which nobody trained, what was learnt on them is forgotten; if both "
        "lose alike, the policy falls as a whole. – not measured.",
        results.standing,
    )
    return Table("forgetting", "Forgetting, or a fall of everything?", columns, tuple(rows), foot)


def _revisited(chain: Chain) -> list[tuple[float, float, float, float]]:
    """For every earlier campaign whose report set the end of the chain was evaluated on: then and now, on that set and
    on the final set."""
    run = chain.run
    measured = {t.facts.campaign: m for t, m in zip(run.campaigns, chain.measures.campaigns, strict=True) if t.facts}
    found = []
    for event in run.extra.get("revisit", ()):
        own, final = measured.get(event["of"]), run.final(event["of"], "handed_on")
        if event["campaign"] != max(measured) or own is None or own.handed_on is None or final is None:
            continue
        now = float(event["evaluation"]["pass_at_1"])
        found.append((own.handed_on, now, final.evaluation.pass_at_1, chain.end))
    return found


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def table02(results: Results) -> Table:
    """Training that goes on from another run's weights, a collapsed one's for instance."""
    columns = (
        ARM,
        Column("starts from"),
        SEEDS,
        Column("final set, before", "points"),
        Column("best peak", "points"),
        Column("end of chain", "points"),
        BY_SEED,
        Column("paper", "points", "published"),
    )
    known = published(2, "continued", "end_of_chain", "not stated")
    rows: list[tuple[Value, ...]] = []
    for arm in results.continued.values():
        origin = str(arm.chains[0].run.config["chain"]["start_from"])
        before = mean(chain.base for chain in arm.chains)
        peak = mean(max(m.peak for m in chain.measures.campaigns) for chain in arm.chains)
        paper = known if origin.endswith("@last") else None
        rows.append((arm.method, origin, arm.n, before, peak, arm.mean_end, by_seed(arm), paper))
    if not rows:
        rows.append(("none has run", None, 0, None, None, None, None, known))
    how = "Best peak: the highest of the chain's campaigns, chosen on select, scored on report."
    foot = (how, PAPER_NOTE, results.standing)
    return Table("table02", "Going on from a collapsed policy", columns, tuple(rows), foot)
