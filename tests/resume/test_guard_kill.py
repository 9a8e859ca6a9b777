"""SIGKILL at any instant: the guard goes on, and the true best is neither lost nor replaced by a worse one.

The run under test is a loop as people write it: it observes, carries out, and then saves a last checkpoint of its own.
It is killed before and after every single system call by which the guard changes the disk, one after the other, and
started again.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall import Guard
from crestfall.store import statetree

VALUES = [0.2, 0.5, 0.4, 0.7, 0.3, 0.6, 0.2]
"""The peak is step 3; `early_stop` with margin 3 stops at step 6."""


def train(directory: Path) -> tuple[str, int | None, list[float]]:
    """The same command again goes on from its own last checkpoint. At step t all weights are t."""
    weights, last = np.zeros(4), directory / "last.json"
    done = json.loads(last.read_text())["step"] if last.exists() else -1
    guard = Guard(directory / "guard", state={"w": weights})
    for step in range(done + 1, len(VALUES)):
        weights[:] = step
        decision = guard.observe(step, select=VALUES[step])
        if guard.carry_out(decision):
            guard.close()
            return decision.action, decision.target_step, weights.tolist()
        guard.flush()
        temporary = last.with_suffix(".tmp")
        temporary.write_text(json.dumps({"step": step}))
        temporary.replace(last)
    raise AssertionError("the run has to stop")


class KillAt:
    """Makes the process kill itself at the `point`-th moment around a system call that changes the disk."""

    def __init__(self, point: int) -> None:
        self.point, self.count = point, 0

    def moment(self) -> None:
        if self.count == self.point:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def wrap(self, owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.moment()
            result = original(*args, **kwargs)
            self.moment()
            return result

        setattr(owner, name, wrapped)

    def install(self) -> None:
        for owner, name in [
            (os, "fsync"),
            (os, "truncate"),
            (Path, "rename"),
            (Path, "mkdir"),
            (Path, "write_text"),
            (Path, "replace"),
            (shutil, "rmtree"),
            (statetree, "write"),
        ]:
            self.wrap(owner, name)


def train_in_child(directory: Path, kill_at: int | None) -> bool:
    """Run `train` in a forked process; was it killed? What it ends with lies in result.json then not."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if kill_at is not None:
                KillAt(kill_at).install()
            (directory / "result.json").write_text(json.dumps(train(directory)))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def check_best(guard: Path, in_flight: int = 1) -> None:
    """The snapshots on the disk are whole, are what they say, and hold the best of all that the journal has seen.

    `in_flight`: observations at the journal's end whose snapshot may have been on its way when the process died.
    """
    journal = guard / "observations.jsonl"
    text = journal.read_text() if journal.exists() else ""
    seen = [json.loads(line)["select"] for line in text.splitlines(keepends=True) if line.endswith("\n")]
    kept = []
    for snapshot in guard.glob("snapshots/[0-9]*"):
        observation = json.loads((snapshot / "observation.json").read_text())
        weights = statetree.unpack(statetree.read(snapshot / "state.safetensors"))["w"]
        assert weights.tolist() == [observation["step"]] * 4
        assert observation["select"] == VALUES[observation["step"]]
        kept.append(observation["select"])
    if seen := seen[: len(seen) - in_flight]:
        assert max(kept) >= max(seen)


@pytest.mark.slow
def test_killed_around_every_change_of_the_disk(tmp_path: Path) -> None:
    point, expected = 0, ["stop", 3, [3.0] * 4]
    while True:
        directory = tmp_path / str(point)
        directory.mkdir()
        killed = train_in_child(directory, point)
        if (directory / "guard").exists():
            check_best(directory / "guard")
        if not killed:
            break
        assert not train_in_child(directory, None)
        assert json.loads((directory / "result.json").read_text()) == expected
        check_best(directory / "guard", in_flight=0)
        assert len(list((directory / "guard" / "snapshots").iterdir())) <= 2
        point += 1
    assert point > 100  # else the hooks sit where nothing passes


def test_killed_over_and_over_by_another_process(tmp_path: Path) -> None:
    """From outside, at times nobody chose, each attempt living a little longer than the last."""
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_guard_kill as t; "
    script += f"from pathlib import Path; p = Path({str(tmp_path)!r}); r = t.slow_train(p)"
    for attempt in range(5):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # imports are done
        time.sleep(0.015 * attempt)
        process.kill()
        process.wait()
        process.stdout.close()
        if (tmp_path / "guard").exists():
            check_best(tmp_path / "guard")
    assert train(tmp_path) == ("stop", 3, [3.0] * 4)


def slow_train(directory: Path) -> None:
    print("begun", flush=True)
    train(directory)
    time.sleep(60)
