"""What a state can know of its future: `python -m research.early_warning.forks STUDY --seeds 9000 --out forks.jsonl`.

Training is run again up to a state and goes on from there eight times, with the same weights, optimizer and problems,
and with other random numbers (batches and samples). A fork *falls* if its score on report is at least 15 points below
the chain's highest up to the state both 3 and 4 steps later. A signal measured at the state is the same for all eight:
none can tell those that fall from those that do not.

States: of every chain that falls, 1 and 3 steps before; of every other chain, step 5. Lines are added as they are
made; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.core.rng import seed_of
from crestfall.core.types import Snapshot
from crestfall.store.files import writing
from crestfall.testbed.campaign import draw, evaluate
from crestfall.testbed.config import RunConfig, run_config
from crestfall.testbed.engines.base import Engine
from crestfall.testbed.slices import origin
from crestfall.testbed.tasks.base import CampaignSets
from research.early_warning.chains import chain_of, runs_of
from research.early_warning.states import AHEAD, FORKS, State, read_states, states_of


def forked(config: RunConfig, states: Iterable[State]) -> Iterator[State]:
    """Run a chain again, and fork it at each of these states."""
    sets = config.sets(0)
    engine = config.engine.create(config)
    try:
        other = origin(config)
        if other is not None:
            engine.load_weights(other.load(like=engine.snapshot()))
        engine.begin_campaign(0)
        reached = 0
        for state in sorted(states, key=lambda state: state.step):
            _train(engine, config, sets, range(reached + 1, state.step + 1))
            reached = state.step
            snapshot = engine.snapshot()
            futures = (replace(config, seed=seed_of("fork", config.seed, n)) for n in range(FORKS))
            yield replace(state, forks=tuple(_fork(future, sets, snapshot, state.step) for future in futures))
    finally:
        engine.close()


def _fork(future: RunConfig, sets: CampaignSets, snapshot: Snapshot, step: int) -> tuple[float, float]:
    """Scores 3 and 4 steps later of one that goes on with the random numbers of `future`."""
    engine = future.engine.create(future)
    try:
        engine.begin_campaign(0)
        engine.restore(snapshot)
        _train(engine, future, sets, range(step + 1, step + AHEAD))
        before = evaluate(engine, sets.report, future, (0, step + AHEAD - 1, "report")).evaluation.pass_at_1
        _train(engine, future, sets, range(step + AHEAD, step + AHEAD + 1))
        return before, evaluate(engine, sets.report, future, (0, step + AHEAD, "report")).evaluation.pass_at_1
    finally:
        engine.close()


def _train(engine: Engine, config: RunConfig, sets: CampaignSets, steps: Iterable[int]) -> None:
    for step in steps:
        engine.update(engine.rollout(draw(sets.train, config, 0, step), 0, step))


def make(study: Path, seeds: Sequence[int], out: Path) -> str:
    """Fork the chains of these seeds. Returns what was done, in a line. Raises CrestfallError."""
    done = {state.key for state in read_states(out)} if out.exists() else set()
    runs = [run for run in runs_of(study) if run.seed in seeds]
    if not runs:
        raise InputError(f"{study}: no finished chain of these seeds without a controller")
    for run in runs:
        missing = [state for state in states_of(chain_of(run)) if state.key not in done]
        for state in forked(run_config(run.config), missing) if missing else ():
            with writing(out), out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(state)) + "\n")
    states = read_states(out) if out.exists() else []
    return f"{len(states)} states of {len(runs)} chains: {out}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.early_warning.forks", __doc__)
    parser.add_argument("study", type=Path, metavar="STUDY", help="study directory")
    parser.add_argument("--seeds", type=int, nargs="+", required=True, metavar="SEED", help="seeds to fork")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the forks go, a line a state")
    args = parser.parse_args(argv)
    print(make(args.study, args.seeds, args.out))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
