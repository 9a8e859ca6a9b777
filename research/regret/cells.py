"""The chains of a regret study as numbers. A cell is one method in one regime on one seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from crestfall.core.errors import InputError
from crestfall.store.events import read_events
from crestfall.store.jsonl import read_objects
from crestfall.store.layout import EVENTS_FILE, cells_in
from crestfall.store.meta import read_meta

T = TypeVar("T")

CHAINS_FILE = "chains.jsonl"
"""Published chains: whoever adds a method need not run those of the others again."""


@dataclass(frozen=True)
class Cell:
    """Scores are fractions on the final set, the curve on report.

    `last`: the weights of the last step, whatever the method keeps; `handed_on`: the final weights of the method.
    `interventions`: stops before the budget was used, returns to an earlier step, and cuts of the rate. `rollouts`:
    training samples. `looked_at`: evaluation samples that the method's decisions are made of.
    """

    regime: str
    method: str
    seed: int
    start: float
    last: float
    handed_on: float
    start_competence: float | None
    last_competence: float | None
    competence: float | None
    curve_S: tuple[float, ...]
    interventions: int
    rollouts: int
    looked_at: int


def read_all(sources: Iterable[Path]) -> list[Cell]:
    """Chains of study directories and of files of published chains. Of two chains of one regime, method and seed, the
    one of the later source counts."""
    cells = [cell for source in sources for cell in (read_cells(source) if source.is_dir() else read_chains(source))]
    return list({(cell.regime, cell.method, cell.seed): cell for cell in cells}.values())


def read_chains(file: Path) -> list[Cell]:
    """A line per chain, as `chain_lines` writes them. Raises InputError (file, line, key)."""
    return rows_of(file, _CELL)


def rows_of(file: Path, kind: TypeAdapter[T]) -> list[T]:
    """Every line as one of `kind`. Raises InputError (file, line, key)."""
    out = []
    for number, row in read_objects(file):
        try:
            out.append(kind.validate_python(row, extra="forbid"))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{file}:{number}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return out


def chain_lines(cells: Sequence[Cell]) -> str:
    """Sorted, so that a further chain is a further line."""
    ordered = sorted(cells, key=lambda cell: (cell.regime, cell.method, cell.seed))
    return "".join(json.dumps(asdict(cell)) + "\n" for cell in ordered)


def read_cells(study: Path) -> list[Cell]:
    """Every finished chain of a study. Raises InputError where there is none, or a method is of no regime."""
    out = []
    for path in cells_in(study):
        meta = read_meta(path)
        if meta is None or meta["status"] != "done":
            continue
        regime, dot, method = meta["method"].partition(".")
        if not dot:
            raise InputError(f"{path}: method {regime!r} is of no regime: expected REGIME.METHOD")
        watches = meta["config"]["control"]["name"] != "none"
        out.append(_cell(regime, method, meta["seed"], path, watches))
    if not out:
        raise InputError(f"{study}: no finished chain of a study with regimes")
    return out


_CELL = TypeAdapter(Cell)


def _cell(regime: str, method: str, seed: int, path: Path, watches: bool) -> Cell:
    events = list(read_events(path / EVENTS_FILE))
    final = {event["when"]: event["evaluation"] for event in events if event["type"] == "final"}
    steps = [event for event in events if event["type"] == "step"]
    ended = next(event for event in events if event["type"] == "campaign_ended")
    looks = sum(len(e["select"]["passed"]) * e["select"]["n"] * (2 if "duel" in e else 1) for e in steps)
    cuts = [e["decision"] for e in steps[:-1]]
    acted = [d for d in cuts if d["action"] != "continue" or d["learning_rate_scale"] < 1]
    return Cell(
        regime=regime,
        method=method,
        seed=seed,
        start=final["start"]["pass_at_1"],
        last=final["end"]["pass_at_1"],
        handed_on=final["handed_on"]["pass_at_1"],
        start_competence=final["start"].get("competence"),
        last_competence=final["end"].get("competence"),
        competence=final["handed_on"].get("competence"),
        curve_S=tuple(e["report"]["pass_at_1"] for e in steps),
        interventions=len(acted) + (ended["stopped_by"] != "budget"),
        rollouts=sum(sum(e["verdicts"].values()) for e in steps),
        looked_at=looks if watches else 0,
    )
