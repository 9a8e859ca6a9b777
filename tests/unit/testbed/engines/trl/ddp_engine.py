"""One rank of the two-process test: `ddp_engine.py CONFIG OUT LOG`, under torch's environment variables.

Runs `crestfall run` with an engine that notes what its own process holds.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from crestfall.cli.main import main
from crestfall.testbed.engines.trl.engine import TrlEngine
from crestfall.testbed.engines.trl.state import moments

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
    Path(log).write_text(json.dumps({"calls": LOG}))
