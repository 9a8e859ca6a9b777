"""Every campaign of every finished chain as a row: what a study leaves behind once its run directories are gone.

Scores are fractions, on report (campaigns) or final (chains); the peak is chosen on select.
"""

from __future__ import annotations

from collections.abc import Iterator

from crestfall.analysis.measures import CampaignMeasures
from crestfall.analysis.trajectory import Trajectory
from research.paper.arms import Chain, Results
from research.paper.table import Column, Table, Value

COLUMNS = (
    *("method", "seed", "campaign", "budget", "steps", "stopped_by", "start", "peak", "peak_step", "peak_as_selected"),
    *("end", "gap", "gap_error", "collapsed", "onset", "onset_for_good", "phase_transition", "handed_on_step"),
    *("handed_on", "competence_at_start", "competence_at_peak", "competence_at_end", "final_base", "final_end"),
    *("final_handed_on", "final_base_competence", "final_end_competence", "final_handed_on_competence"),
    *("end_of_chain", "chain_steps", "config_digest"),
)


def cells(results: Results) -> Table:
    """One row a campaign. `final_*` are on the final set: before the chain, the campaign's last weights, and its final
    weights. Competence: right values, in any answering convention."""
    arms = (*results.trained, *results.continued.values())
    rows = [row for arm in arms for chain in arm.chains for row in _rows(chain)]
    return Table("cells", "Every campaign", tuple(Column(name) for name in COLUMNS), tuple(rows))


def _rows(chain: Chain) -> Iterator[tuple[Value, ...]]:
    run = chain.run
    for m, trajectory in zip(chain.measures.campaigns, run.campaigns, strict=True):
        facts = trajectory.facts
        assert facts is not None
        places = run.final(-1, "start"), run.final(facts.campaign, "end"), run.final(facts.campaign, "handed_on")
        finals = [None if place is None else place.evaluation for place in places]
        yield (
            *(run.method, run.seed, facts.campaign, facts.budget, m.end_step, facts.stopped_by),
            *(m.start, m.peak, m.peak_step, m.peak_as_selected, m.end, m.gap, m.gap_error, int(m.collapsed)),
            *(m.onset, m.onset_for_good, m.phase_transition, facts.handed_on_step, m.handed_on),
            *_competence(trajectory, m),
            *(None if e is None else e.pass_at_1 for e in finals),
            *(None if e is None else e.competence for e in finals),
            *(chain.end, chain.measures.steps, run.config_digest),
        )


def _competence(trajectory: Trajectory, m: CampaignMeasures) -> tuple[float | None, ...]:
    """Competence at start, peak and end."""
    if trajectory.report is None:
        return None, None, None
    peak = int(trajectory.steps_S.tolist().index(m.peak_step))
    return tuple(trajectory.report[i].competence for i in (0, peak, -1))
