"""Two real processes over gloo: fed different numbers, they cannot disagree."""

import json
import math
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall import Guard
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import CrestfallError

pytest.importorskip("torch")

FIRST = [0.2, 0.5, 0.4, 0.3, 0.2]  # rank 0 sees a peak at step 1
SECOND = [0.2, 0.3, 0.4, 0.5, 0.6]  # rank 1 sees no peak at all


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What every work of this file returned on both ranks, by its name: one pair of processes does all of them."""
    place = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_one_rank, args=(rank, place)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    both = [json.loads((place / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    return {name: [done[name] for done in both] for name in both[0]}


def _one_rank(rank: int, place: Path) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/rendezvous", rank=rank, world_size=2)
    done = {work.__name__: work(rank, place / work.__name__) for work in (guarded_run, slowed_run, one_odd_state)}
    (place / f"rank{rank}.json").write_text(json.dumps(done))
    dist.barrier()  # gloo may abort a rank whose peer has left already
    dist.destroy_process_group()


def guarded_run(rank: int, tmp_path: Path) -> dict[str, Any]:
    import torch

    weights = torch.zeros(3)
    out: dict[str, Any] = {"decisions": []}

    def guard(**options: Any) -> Guard:
        return Guard(tmp_path / "guard", control=EarlyStop(margin=2, then="go_on"), state={"w": weights}, **options)

    first = guard()
    for step, value in enumerate((FIRST, SECOND)[rank]):
        weights.fill_(step)
        decision = first.observe(step, select=value)
        first.carry_out(decision)
        out["decisions"].append([decision.action, decision.target_step, weights.tolist()])
    out["has_best"] = first.best is not None
    first.close()

    # After a restart nobody has it in memory: rank 0 reads the disk, the other one is sent it.
    again = guard(in_memory=False)
    weights.fill_(7)
    again.carry_out(again.finish())
    out["after_restart"] = weights.tolist()

    # A score that rank 0 cannot use fails on both: none is left waiting for the other.
    try:
        again.observe(9, select=math.nan if rank == 0 else 0.5, standard_error=-1.0 if rank == 0 else None)
    except CrestfallError as error:
        out["error"] = str(error)
    return out


def slowed_run(rank: int, tmp_path: Path) -> dict[str, Any]:
    """Crest halves the rate after a fall; then one rank's weights become NaN."""
    import torch

    model = torch.nn.Linear(2, 2)
    torch.nn.init.zeros_(model.weight)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    out: dict[str, Any] = {"scales": [], "actions": []}
    with Guard(tmp_path / "guard", control="crest", state={"model": model, "optimizer": sgd}) as guard:
        for step, value in enumerate([0.2, 0.8, 0.1, 0.1, 0.9]):
            if step == 4 and rank == 1:
                torch.nn.init.constant_(model.weight, math.nan)
            decision = guard.observe(step, select=value, n=480)
            guard.carry_out(decision)
            out["scales"].append(guard.learning_rate_scale)
            out["actions"].append(decision.action)
    with Guard(tmp_path / "guard", control="crest", state={"model": model, "optimizer": sgd}) as guard:
        out["scales"].append(guard.learning_rate_scale)
    return out | {"rate": sgd.param_groups[0]["lr"], "finite": bool(model.weight.isfinite().all())}


def test_every_rank_knows_the_rate_and_of_any_rank_s_nan(ranks: dict[str, list[Any]]) -> None:
    first, second = ranks["slowed_run"]
    assert first == second
    assert first["finite"]
    assert first["actions"][-1] == "rollback"
    assert first["scales"][-1] < 1
    assert first["rate"] == pytest.approx(0.1 * first["scales"][-1])


def test_ranks_cannot_disagree(ranks: dict[str, list[Any]]) -> None:
    first, second = ranks["guarded_run"]
    assert first["decisions"] == second["decisions"]
    assert ["rollback", 1, [1.0] * 3] in first["decisions"]
    assert first["after_restart"] == second["after_restart"] == [1.0] * 3
    assert "standard_error is -1" in first["error"]
    assert "rank 0" in second["error"]
    assert "standard_error is -1" in second["error"]
    assert (first["has_best"], second["has_best"]) == (True, False)


def one_odd_state(rank: int, directory: Path) -> str:
    try:
        Guard(directory / "guard", state={"odd": object() if rank else np.zeros(2)})
    except CrestfallError as error:
        return str(error)
    return ""


def test_a_state_refused_on_one_rank_is_refused_on_all(ranks: dict[str, list[Any]]) -> None:
    first, second = ranks["one_odd_state"]
    assert first == f"rank 1: {second}"
    assert "a object has no state_dict" in second
