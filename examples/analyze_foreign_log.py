"""Somebody else's log, in a script: when did it peak, was the fall real, what would a controller have made of it?

    python examples/analyze_foreign_log.py [LOG ...]

Without an argument it first writes a log as verl's file logger does. Any log that `crestfall analyze` knows will do.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from crestfall.analysis import replay
from crestfall.analysis.analyze import analyze
from crestfall.analysis.importers.load import load
from crestfall.control.alert import SignificantFall
from crestfall.control.early_stop import EarlyStop
from crestfall.core.entry import guarded
from crestfall.core.rng import stream


def made_up_log(path: Path) -> Path:
    """80 steps that rise to 0.6, hold, and fall to 0.1 while entropy runs up 10 steps ahead."""
    noise = stream("example log").normal(0, 0.02, 80)
    lines = []
    for step in range(80):
        level = min(0.25 + 0.01 * step, 0.6) - 0.05 * min(max(step - 50, 0), 10)
        data = {
            "val-core/code/acc/mean@8": level + noise[step],
            "critic/score/mean": level + 0.1,
            "actor/entropy": 0.3 + 0.08 * max(step - 40, 0),
        }
        lines.append(json.dumps({"step": step, "data": data}))
    path.write_text("\n".join(lines) + "\n")
    return path


def main(paths: list[str]) -> int:
    for trajectory in load(paths):
        found = analyze(trajectory)
        numbers = found.measures
        print(f"{trajectory.name}: {trajectory.metric} ({trajectory.why})")
        print(
            f"  {found.classification.label}: {numbers.start:.2f} -> {numbers.peak:.2f} at step {numbers.peak_step}",
            end="",
        )
        print(f" -> {numbers.end:.2f}; p-value of the fall {found.classification.p_fall:.2g}, onset {found.onset}")
        for lead in found.leads:
            print(f"  {lead.signal} moved {lead.steps} steps before the fall")
        records = replay.records_of(trajectory)
        for controller in (EarlyStop(margin=3), EarlyStop(margin=10), SignificantFall()):
            done = replay.replay(controller, records)
            value = replay.score_of(trajectory).at(done.kept_step)
            print(f"  {controller} would have acted at {done.acted_at} and kept step {done.kept_step} ({value:.2f})")
    return 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        log = str(made_up_log(Path(directory) / "run.jsonl"))
        sys.exit(guarded(lambda: main(sys.argv[1:] or [log])))
