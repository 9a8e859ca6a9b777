"""Subjects of a page: groups of chains that belong together (a method and its seeds, or one foreign run)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crestfall.analysis.trajectory import Final, Run, Trajectory
from crestfall.core.text import visible

# The style sheet knows this many colours and dash patterns; further groups use them again.
STYLES = 12


@dataclass(frozen=True)
class Group:
    """A method with its runs, one per seed. `label` is fit to be shown; `style` is the class that gives the group its
    colour and dashes in every chart."""

    label: str
    runs: tuple[Run, ...]
    style: str

    @property
    def single(self) -> bool:
        return len(self.runs) == 1

    def campaigns(self) -> list[int]:
        """The numbers of the campaigns that at least one seed has begun."""
        return sorted({number_of(t) for run in self.runs for t in run.campaigns})

    def curves(self, campaign: int) -> list[Trajectory]:
        """Curves of one campaign, one for each seed that has it."""
        return [t for run in self.runs for t in run.campaigns if number_of(t) == campaign]


def group_runs(runs: Iterable[Run], order: Sequence[str] = ()) -> list[Group]:
    """Runs by method: those named in `order` first, in that order. Runs without an evaluated step are left out."""
    methods: dict[str, list[Run]] = {method: [] for method in order}
    for run in runs:
        if any(len(t) for t in run.campaigns):
            methods.setdefault(run.method, []).append(run)
    begun = [(method, found) for method, found in methods.items() if found]
    return [
        Group(visible(method, 60), tuple(sorted(found, key=lambda run: run.seed)), f"m{k % STYLES}")
        for k, (method, found) in enumerate(begun)
    ]


def ends_of(runs: Sequence[Run]) -> list[tuple[Run, Final]]:
    """The final weights of chains on the final set, to be compared: of the chains that have ended or, before one has,
    of those that have come furthest. A chain that is on its way is not averaged with one that is at its end."""
    last = {run: f for run in runs for f in sorted(run.finals, key=lambda f: f.campaign) if f.when == "handed_on"}
    ended = [(run, final) for run, final in last.items() if run.status == "done"]
    furthest = max((final.campaign for final in last.values()), default=0)
    return ended or [(run, final) for run, final in last.items() if final.campaign == furthest]


def ends_by_label(groups: Sequence[Group]) -> dict[str, list[tuple[Run, Final]]]:
    """`ends_of` all groups, by their labels; groups without one are left out."""
    ends = ends_of([run for g in groups for run in g.runs])
    found = {g.label: [(run, final) for run, final in ends if run in g.runs] for g in groups}
    return {label: ends for label, ends in found.items() if ends}


def foreign_group(trajectory: Trajectory) -> Group:
    """Group of one imported run, as the only chain of one campaign on its page."""
    run = Run(
        trajectory.source, trajectory.name, seed=0, status="done", campaigns=(trajectory,), notes=trajectory.notes
    )
    return Group(visible(trajectory.name, 60), (run,), "m0")


def number_of(trajectory: Trajectory) -> int:
    """The campaign's number; a foreign run is campaign 0."""
    return trajectory.facts.campaign if trajectory.facts else 0
