"""FSDP on real gloo processes: every rank keeps its own shards; a rollback and a restart are bit for bit."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from crestfall import Guard
from crestfall.control.early_stop import EarlyStop

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

SCORES = [0.1, 0.3, 0.6, 0.5, 0.4, 0.3]
PEAK = 2


def in_processes(work: Any, count: int, tmp_path: Path) -> list[Any]:
    """What `work(rank, tmp_path)` returned on every rank."""
    context = multiprocessing.get_context("spawn")
    place = tmp_path / f"{work.__name__}-{count}"
    place.mkdir()
    processes = [context.Process(target=_one_rank, args=(work, rank, count, tmp_path, place)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
        assert process.exitcode == 0
    return [json.loads((place / f"rank{rank}.json").read_text()) for rank in range(count)]


def _one_rank(work: Any, rank: int, count: int, tmp_path: Path, place: Path) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/rendezvous", rank=rank, world_size=count)
    (place / f"rank{rank}.json").write_text(json.dumps(work(tmp_path)))
    dist.destroy_process_group()


def sharded_model() -> tuple[Any, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(9, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    return model, torch.optim.AdamW(model.parameters(), lr=0.05)


def train(model: Any, optimizer: Any, step: int) -> None:
    optimizer.zero_grad()
    (model(torch.full((2, 9), 1.0 / step)) ** 2).mean().backward()
    optimizer.step()


def whole(model: Any, optimizer: Any) -> dict[str, Any]:
    """All numbers, gathered, as hexadecimal words that JSON keeps exactly."""
    out = {}
    for i, parameter in enumerate(model.parameters()):
        moments = {key: value for key, value in optimizer.state[parameter].items() if value.dim()}
        for name, tensor in {"weight": parameter.detach(), **moments}.items():
            out[f"{i}.{name}"] = [float(x).hex() for x in tensor.full_tensor().flatten()]
        out[f"{i}.step"] = [float(optimizer.state[parameter]["step"])]
    return out


def first_run(tmp_path: Path) -> dict[str, Any]:
    """Up to a step past the peak; with a rollback from memory at its end."""
    model, optimizer = sharded_model()
    control = EarlyStop(patience=1, then="go_on")
    guard = Guard(tmp_path / "guard", control=control, state={"model": model, "optimizer": optimizer})
    for step in range(PEAK + 2):
        if step:
            train(model, optimizer, step)
        if step == PEAK:
            peak = whole(model, optimizer)
        guard.carry_out(guard.observe(step, select=SCORES[step], n=480))
    back = whole(model, optimizer)
    guard.close()
    return {"peak": peak, "back": back, "held": sum(held.packed.nbytes for held in guard._memory.values())}


def second_run(tmp_path: Path) -> dict[str, Any]:
    """Another process, with a model as it is made: the peak comes from the disk."""
    model, optimizer = sharded_model()
    control = EarlyStop(patience=2)
    guard = Guard(tmp_path / "guard", control=control, state={"model": model, "optimizer": optimizer})
    assert guard.last_step == PEAK + 1
    decision = guard.observe(PEAK + 2, select=SCORES[PEAK + 2], n=480)
    done = guard.carry_out(decision)
    guard.close()
    return {"target": decision.target_step, "done": done, "back": whole(model, optimizer)}


def first_of_fsdp(tmp_path: Path) -> list[list[str]]:
    """The weights and this rank's moments at the peak, after a rollback from memory, and after one from the disk."""
    from torch.distributed.fsdp import FullyShardedDataParallel

    def made(control: Any) -> tuple[Any, Any, Guard]:
        torch.manual_seed(0)
        layers = torch.nn.Sequential(torch.nn.Linear(9, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3))
        model = FullyShardedDataParallel(layers, device_id=torch.device("cpu"))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        return model, optimizer, Guard(tmp_path / "fsdp", control=control, state={"m": model, "o": optimizer})

    def numbers(model: Any, optimizer: Any) -> list[str]:
        moments = [value for state in optimizer.state.values() for value in state.values()]
        return [float(x).hex() for tensor in (*model.state_dict().values(), *moments) for x in tensor.flatten()]

    model, optimizer, guard = made(EarlyStop(patience=1, then="go_on"))
    out = []
    for step in range(PEAK + 2):
        if step:
            train(model, optimizer, step)
        if step == PEAK:
            out.append(numbers(model, optimizer))
        guard.carry_out(guard.observe(step, select=SCORES[step], n=480))
    out.append(numbers(model, optimizer))
    guard.close()
    model, optimizer, guard = made(EarlyStop(patience=2))
    train(model, optimizer, PEAK + 2)
    guard.carry_out(guard.observe(PEAK + 2, select=SCORES[PEAK + 2], n=480))
    guard.close()
    return [*out, numbers(model, optimizer)]


def refused(tmp_path: Path) -> str:
    """A full state on rank 0 alone, as torch's full_state_dict option gives it."""
    from crestfall.core.errors import ConfigError

    rank = torch.distributed.get_rank()
    try:
        Guard(tmp_path / "full", capture=lambda: {"w": torch.zeros(3)} if rank == 0 else {}, restore=lambda _: None)
    except ConfigError as error:
        return str(error)
    return ""


def test_rollback_and_restart_with_two_and_with_one_process(tmp_path: Path) -> None:
    ranks = in_processes(first_run, 2, tmp_path)
    peak = ranks[0]["peak"]
    assert all(rank["back"] == peak for rank in ranks)
    assert ranks[1]["held"] < ranks[0]["held"] * 1.1  # half of the numbers each, and Adam's counters on rank 0
    shards = sorted(path.name for path in (tmp_path / "guard").glob("snapshots/*/shards/*"))
    assert shards == ["rank-00000.safetensors", "rank-00001.safetensors"]
    for count in (2, 1):
        for rank in in_processes(second_run, count, tmp_path):
            assert (rank["target"], rank["done"]) == (PEAK, True)
            assert rank["back"] == peak
        _forget_the_last_observation(tmp_path / "guard" / "observations.jsonl")


def _forget_the_last_observation(journal: Path) -> None:
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]))


def test_the_first_fsdp_goes_back_with_every_rank_s_own_moments(tmp_path: Path) -> None:
    for peak, from_memory, from_disk in in_processes(first_of_fsdp, 2, tmp_path):
        assert from_memory == peak
        assert from_disk == peak


def test_a_state_gathered_on_rank_0_is_refused(tmp_path: Path) -> None:
    for said in in_processes(refused, 2, tmp_path):
        assert "only some of the ranks return tensors" in said


def metered(tmp_path: Path) -> list[Any]:
    """Sizes of three steps under the step meter, and the weights after them."""
    from crestfall import StepMeter

    model, optimizer = sharded_model()
    meter = StepMeter(model.parameters(), optimizer, {"name": "norm", "target": 1e-3})
    sizes = []
    for step in (1, 2, 3):
        optimizer.zero_grad()
        (model(torch.full((2, 9), 1.0 / step)) ** 2).mean().backward()
        meter.before()
        optimizer.step()
        measured = meter.after()
        sizes.append([measured.proposed, measured.size, measured.share])
    return [sizes, [weight.full_tensor().tolist() for weight in model.parameters()]]


def test_the_meter_measures_a_sharded_step_as_a_whole(tmp_path: Path) -> None:
    first, second = in_processes(metered, 2, tmp_path)
    assert first == second
    (sizes, weights), (one_process, as_one) = first, in_processes(metered, 1, tmp_path)[0]
    assert min(share for _, _, share in sizes) < 1
    for now, then in zip(sizes, one_process, strict=True):
        assert now == pytest.approx(then, rel=1e-4)
    for now, then in zip(weights, as_one, strict=True):
        assert torch.allclose(torch.tensor(now), torch.tensor(then), atol=1e-6)


def refused_by_the_meter(tmp_path: Path) -> str:
    from torch.distributed.fsdp import FullyShardedDataParallel

    from crestfall import StepMeter
    from crestfall.core.errors import ConfigError

    said = []
    for original in (False, True):
        model = FullyShardedDataParallel(torch.nn.Linear(8, 8), device_id=torch.device("cpu"), use_orig_params=original)
        try:
            StepMeter(model.parameters(), torch.optim.AdamW(model.parameters()), "norm")
        except ConfigError as error:
            said.append(str(error))
    return " ".join(said)


def test_the_meter_refuses_parts_of_fsdp1(tmp_path: Path) -> None:
    for said in in_processes(refused_by_the_meter, 2, tmp_path):
        assert said.count("FSDP1 or DeepSpeed shards these parameters") == 2
