"""One rank of the two-process test of the callback: `ddp_trl.py DIRECTORY`, under torch's environment variables."""

import json
import sys
from pathlib import Path
from typing import Any

import tiny_trl
import torch

from crestfall import CrestfallCallback


def main(directory: Path) -> None:
    seen: dict[int, dict[str, Any]] = {}
    rank = [0]

    def evaluate(model: Any, step: int) -> float:
        seen[step] = {name: p.detach().clone() for name, p in model.named_parameters()}
        return ([0.1, 0.3, 0.5, 0.2, 0.1, 0.05, 0.0], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])[rank[0]][step]

    callback = CrestfallCallback(evaluate=evaluate)
    trainer = tiny_trl.trainer("GRPO", directory, [callback])
    rank[0] = trainer.args.process_index
    trainer.train()
    now = tiny_trl.weights(trainer)
    assert callback.decision is not None
    result = {
        "world": trainer.args.world_size,
        "steps": trainer.state.global_step,
        "target": callback.decision.target_step,
        "at_peak": all(torch.equal(now[name], seen[2][name]) for name in now),
        "moved_since": any(not torch.equal(now[name], seen[5][name]) for name in now),
        "adam": sorted(tiny_trl.adam_steps(trainer)),
    }
    (directory / f"rank{rank[0]}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
