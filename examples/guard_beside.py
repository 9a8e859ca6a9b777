"""A guard beside a run: for prime-rl, and every trainer that logs its evaluations and saves on its own.

    python examples/guard_beside.py                                               on a log made on the spot
    python examples/guard_beside.py RUN/monitors/file/metrics.jsonl 'eval/gsm8k/avg@4' 'RUN/checkpoints/step_{step}' 800

It follows a JSON Lines log, decides on every new evaluation, protects the checkpoint of the best one from the trainer's
own clean-up (hard links), and when the run is past its peak prints how to go on, and ends with code 0.

Read in November 2026: prime-rl's `configs/shared.py` at commit 02798cf (`--run.name`, `--resume.step`, `--resume.dir`),
`monitors/file/monitor.py` at 048a6e2 (the log, in which rows of wall time have no step), `docs/training.md` of then
(`--ckpt.interval`, `--ckpt.keep-last`, a run's `checkpoints/step_N`) and `docs/eval.md` at 07e7249 (evaluations are
`eval/ENV/avg@K` and `eval/ENV/all/AGENT/reward/mean`). RUN is `output_dir/run.name`. In 5390892 and before, the log was
metrics.jsonl and one resumed with `--ckpt.resume-step`. It was not run here.

Go on from the peak: `uv run rl @ rl.toml --ckpt --run.name NEW --resume.dir <the checkpoint that is printed>`, which
ends in step_N as prime-rl wants it; or in the same run with `--resume.step N` while its own checkpoint is there.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import crestfall
from crestfall.core.entry import Parser, guarded


def evaluations(log: Path, key: str, patience: float) -> Iterator[tuple[int, float]]:
    """(step, score) of every line that has the key, as lines come; ends when none has come for `patience` seconds."""
    seen, last = 0, time.monotonic()
    while time.monotonic() - last <= patience:
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
        for line in lines[seen:]:
            if not line.endswith("\n"):
                break  # still being written
            seen, last = seen + 1, time.monotonic()
            row = json.loads(line)
            if row.get(key) is not None and row.get("step") is not None:
                yield int(row["step"]), float(row[key])
        time.sleep(min(1.0, patience / 10))


def follow(log: Path, key: str, checkpoints: str, n: int | None, patience: float = 3600.0) -> crestfall.Decision | None:
    """The decision that ended the run, None if the log ended first."""
    with crestfall.Guard(
        log.with_suffix(".crestfall"), control="significant_fall", keep="best", checkpoints=checkpoints
    ) as guard:
        for step, score in evaluations(log, key, patience):
            if guard.last_step is not None and step <= guard.last_step:
                continue
            decision = guard.observe(step, select=score, n=n)
            if guard.carry_out(decision):
                print(f"stop the run: {decision.reason}")
                print(f"go on from step {decision.target_step}: {guard.checkpoint or 'its checkpoint is gone'}")
                return decision
    return None


def main() -> int:
    if len(sys.argv) > 1:
        parser = Parser(usage="guard_beside.py LOG KEY CHECKPOINTS N")
        parser.add_argument("log", type=Path)
        parser.add_argument("key")
        parser.add_argument("checkpoints")
        parser.add_argument("n", type=int)
        follow(**vars(parser.parse_args()))
        return 0
    folder = Path(tempfile.mkdtemp())
    with (folder / "metrics.jsonl").open("w") as log:
        for step, score in enumerate([0.3, 0.45, 0.6, 0.4, 0.2, 0.1]):
            (folder / f"step_{step * 10}").mkdir()
            (folder / f"step_{step * 10}" / "weights").write_text(str(step))
            log.write(json.dumps({"step": step * 10, "eval/gsm8k/all/agent/avg@4": score}) + "\n")
    follow(folder / "metrics.jsonl", "eval/gsm8k/all/agent/avg@4", f"{folder}/step_{{step}}", 800, patience=1.0)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
