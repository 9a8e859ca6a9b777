"""The answer to "what most likely did it": the causes that have evidence, and what could not be tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from crestfall.analysis.advice.case import Case
from crestfall.analysis.advice.causes import CAUSES, Cause
from crestfall.analysis.advice.evidence import Evidence
from crestfall.analysis.leads import FALSE_ALARMS

FINE = "nothing fell: no cause is looked for"


@dataclass(frozen=True)
class Suspect:
    """A cause with what speaks for it."""

    cause: Cause
    evidence: tuple[Evidence, ...]

    def to_json(self) -> dict[str, Any]:
        c = self.cause
        return {
            "cause": c.name,
            "title": c.title,
            "evidence": [asdict(e) for e in self.evidence],
            "source": c.source,
            "refuted_by": c.refuted_by,
            "change": c.change,
        }


@dataclass(frozen=True)
class Advice:
    """`suspects`: the likeliest first. `untested`: causes of which the log has no signal. `says`: one sentence."""

    suspects: tuple[Suspect, ...]
    untested: tuple[Cause, ...]
    says: str

    @property
    def cause(self) -> str | None:
        """The name of the likeliest cause; None: nothing points at one."""
        return self.suspects[0].cause.name if self.suspects else None

    def to_json(self) -> dict[str, Any]:
        return {
            "says": self.says,
            "causes": [s.to_json() for s in self.suspects],
            "untested": [c.name for c in self.untested],
        }


def advise(case: Case, causes: Sequence[Cause] = CAUSES) -> Advice:
    """Every cause that can explain such a run is tested; those with evidence are named, in the order of the table."""
    if case.kind == "fine":
        return Advice((), (), FINE)
    possible = [c for c in causes if case.kind in c.kinds]
    logged = {*case.signals, *(f"{role}s" for _, role, _ in case.others)}
    testable = [c for c in possible if logged & set(c.signals)]
    untested = tuple(c for c in possible if c not in testable)
    case = replace(case, alpha=FALSE_ALARMS / max(1, len(testable)))
    tested = ((c, tuple(c.test(case))) for c in testable)
    suspects = tuple(Suspect(c, evidence) for c, evidence in tested if evidence)
    if case.kind == "rose":
        return Advice(suspects, (), f"it rose, held back by: {suspects[0].cause.title}" if suspects else FINE)
    return Advice(suspects, untested, _sentence(case, suspects, testable))


def _sentence(case: Case, suspects: Sequence[Suspect], testable: Sequence[Cause]) -> str:
    if suspects:
        also = [s.cause.title.partition(":")[0] for s in suspects[1:]]
        return suspects[0].cause.title + (f"; also possible: {', '.join(also)}" if also else "")
    if not testable:
        return "no companion signal in this log: no cause can be named"
    return f"no companion signal points at a cause ({len(testable)} were tested)"
