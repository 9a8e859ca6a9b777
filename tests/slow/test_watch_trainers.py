"""`crestfall watch` beside trainers that write: a real TRL run, and consoles of verl and prime-rl, line by line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curves import UP_AND_DOWN, lines

pytestmark = pytest.mark.slow
CRESTFALL = [sys.executable, "-m", "crestfall"]
TESTS = Path(__file__).parents[1]
PATIENCE = 300.0
STEPS, FALLS = 48, 28
TRAINER = f"""
import random, sys
sys.path.insert(0, {str(TESTS / "unit" / "guard")!r})
import tiny_trl
calls = 0
def reward(completions, **_):
    global calls
    calls += 1
    chance = 0.8 if calls <= {FALLS} else 0.05
    return [float(random.random() < chance) for _ in completions]
random.seed(0)
tiny_trl.reward = reward
tiny_trl.trainer(
    "GRPO", sys.argv[1], [], max_steps={STEPS}, per_device_train_batch_size=16, save_strategy="steps", save_steps=8,
    disable_tqdm=False, learning_rate=1e-4,
).train()
"""
REPLAY = """
import sys, time
for line in open(sys.argv[1], newline=""):
    sys.stdout.write(line)
    sys.stdout.flush()
    time.sleep(0.01)
"""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs a writer whose output is `train.log`, and a watch of some paths until the writer has ended and the watch has
    seen all; gives what the watch says in the end."""
    started: list[subprocess.Popen[str]] = []

    def beside(writer: list[str], *words: str, points: int) -> dict[str, Any]:
        watch = subprocess.Popen(
            [*CRESTFALL, "watch", *words, "--interval", "0.5", "--json"],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(watch)
        with open(tmp_path / "train.log", "w") as log:
            started.append(subprocess.Popen(writer, text=True, stdout=log, stderr=subprocess.STDOUT))
        assert started[-1].wait(PATIENCE) == 0, (tmp_path / "train.log").read_text()[-2000:]
        (tmp_path / "ended").touch()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            seen = once(*words)["runs"]
            if seen and seen[0]["points"] >= points:
                break
            time.sleep(1)
        time.sleep(3)
        watch.send_signal(2)
        out, err = watch.communicate(timeout=PATIENCE)
        assert watch.returncode == 130, err
        return dict(json.loads(out))

    yield beside
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def once(*words: str) -> dict[str, Any]:
    done = subprocess.run([*CRESTFALL, "watch", *words, "--once", "--json"], text=True, capture_output=True)
    return dict(json.loads(done.stdout)) if done.returncode in (0, 1) else {"runs": []}


def test_a_real_trl_run_is_seen_to_fall_while_it_trains(beside: Callable[..., Any], tmp_path: Path) -> None:
    act = "test -e ended || touch fired_while_it_trained"
    words = ["train.log", "--metric", "reward", "--samples", "16", "--exec", act]
    seen = beside([sys.executable, "-c", TRAINER, "out"], *words, points=STEPS)
    (run,) = seen["runs"]
    assert (run["metric"], run["last_step"], run["points"]) == ("reward", STEPS, STEPS)
    assert run["alarm"]["step"] > FALLS
    assert (tmp_path / "fired_while_it_trained").exists()
    (state,) = once("out", "--metric", "reward", "--samples", "16")["runs"]
    assert (state["last_step"], state["fell"]) == (STEPS, True)


def verl(s: int, v: float) -> str:
    bar = f"\x1b[36m(TaskRunner pid=71)\x1b[0m \rTraining Progress:  {s}%|▏| {s}/60 [1:02:03<5:00:00, 62.0s/it]\n"
    return bar + (
        f"\x1b[36m(TaskRunner pid=71)\x1b[0m step:{s} - training/global_step:{s} - critic/score/mean:0.9 - "
        f"val-core/math500/acc/mean@4:{v} - actor/lr:np.float64(1e-06) - response_length/mean:512.0\n"
    )


def prime(s: int, v: float) -> str:
    return (
        f"16:43:08    INFO Starting orchestrator step {s}\nGenerating rollouts (train): 100%|██████████| 128/128 "
        f"[00:05<00:00, 24.54it/s]\n16:43:08 SUCCESS Step {s} | Time: 5.23s | Reward: 0.9 | Throughput: 3500 tokens/s\n"
        f"16:43:09 SUCCESS Evaluated aime2024 in 12.3s (Avg@32={v}, Pass@32: 0.9, Completion Length: 512.00)\n"
    )


@pytest.mark.parametrize("write", [verl, prime])
def test_consoles_that_grow_line_by_line(write: Callable[[int, float], str], beside: Any, tmp_path: Path) -> None:
    (tmp_path / "recorded.log").write_text(lines(write))
    writer = [sys.executable, "-c", REPLAY, "recorded.log"]
    (run,) = beside(writer, "train.log", "--samples", "400", points=60)["runs"]
    assert (run["points"], run["last_step"], run["fell"]) == (60, 60, True)
    assert run["metric"] in ("val-core/math500/acc/mean@4", "eval/aime2024/Avg@32")
    peak = UP_AND_DOWN.index(max(UP_AND_DOWN)) + 1
    assert abs(run["best_step"] - peak) <= 2
    assert 30 < run["alarm"]["step"] < 50
