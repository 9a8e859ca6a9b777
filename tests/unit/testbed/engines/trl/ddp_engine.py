"""One rank of the two-process test: `ddp_engine.py CONFIG OUT LOG`, under torch's environment variables.

Runs `crestfall run` with an engine that notes what its own process holds, then looks at sharded weights.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from crestfall.cli.main import main
from crestfall.testbed.engines.trl.engine import TrlEngine
from crestfall.testbed.engines.trl.state import gathered, moments, put_back, put_back_moments, trained

LOG: list[dict[str, Any]] = []


def noting(name: str) -> Callable[..., Any]:
    own = getattr(TrlEngine, name)

    def method(engine: TrlEngine, *args: Any) -> Any:
        out = own(engine, *args)
        steps = sorted({int(state["step"]) for state in engine.adam.state.values()})
        held = {"weights": engine.parameters, "moments": dict(moments(engine.parameters, engine.adam))}
        counts = {"adam": steps, "updates": engine.trainer.updates, "rate": engine.adam.param_groups[0]["lr"]}
        LOG.append({"call": name, **{kind: digest(tensors) for kind, tensors in held.items()}, **counts})
        return out

    return method


def digest(tensors: dict[str, Any]) -> str:
    h = hashlib.sha256()
    for name in sorted(tensors):
        h.update(name.encode() + tensors[name].detach().numpy().tobytes())
    return h.hexdigest()[:16]


def sharded() -> dict[str, bool]:
    """The snapshot of a model that FSDP2 shards (gloo on the CPU), put back after it has moved on."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Linear(3, 1))
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    adam = torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(x: float) -> None:
        model(torch.full((2, 5), x)).sum().backward()
        adam.step()
        adam.zero_grad()

    def state() -> dict[str, Any]:
        parameters = trained(model)
        return gathered(parameters) | gathered({f"adam.{k}": v for k, v in moments(parameters, adam)})

    def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
        return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

    step(1.0)
    then, first = state(), dist.get_rank() == 0
    step(2.0)
    after = state()
    put_back(trained(model), then)
    saved = {k.removeprefix("adam."): v for k, v in then.items() if k.startswith("adam.")}
    names = [None]
    if first:
        names = [{k: v if v.numel() == 1 else None for k, v in saved.items()}]
    dist.broadcast_object_list(names)
    put_back_moments(trained(model), adam, saved if first else names[0])
    back = state()
    step(2.0)
    result = {"moved": not same(after, then) or not first, "back": same(back, then), "again": same(state(), after)}
    dist.destroy_process_group()
    return result


if __name__ == "__main__":
    config, out, log = sys.argv[1:]
    torch.set_num_threads(1)
    for method in ("update", "snapshot", "restore"):
        setattr(TrlEngine, method, noting(method))
    try:
        code = main(["run", config, "--out", out])
    except SystemExit as end:  # how the other ranks end
        code = end.code
    assert code == 0
    os.environ["MASTER_PORT"] = os.environ["SECOND_PORT"]
    Path(log).write_text(json.dumps({"calls": LOG, "sharded": sharded()}))
