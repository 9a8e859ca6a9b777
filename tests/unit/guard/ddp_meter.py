"""One rank of the two-process test of the meter: `ddp_meter.py DIRECTORY`, under torch's environment variables."""

import hashlib
import json
import sys
from pathlib import Path

import tiny_trl
import torch
from transformers import TrainerCallback

from crestfall import CrestfallCallback


def main(directory: Path) -> None:
    callback = CrestfallCallback(control="none", evaluate=lambda model, step: 0.5, pace="kl")
    measured: list[dict[str, float]] = []

    class Noting(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
            measured.append(dict(callback._measured))

    callbacks = [callback, Noting()]
    trainer = tiny_trl.trainer("GRPO", directory, callbacks, learning_rate=1.0, gradient_accumulation_steps=2)
    trainer.train()
    weights = b"".join(p.detach().numpy().tobytes() for p in trainer.model.parameters())
    result = {
        "world": trainer.args.world_size,
        "measured": measured,
        "weights": hashlib.sha256(weights).hexdigest(),
    }
    (directory / f"rank{trainer.args.process_index}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
