"""One curve written in the ways of many tools and mishaps, and read back: same points, same steps, same class."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall.analysis.analyze import analyze
from crestfall.analysis.importers.load import load
from crestfall.analysis.trajectory import Trajectory
from curves import HELD, POINTS, STEPS, UP_AND_DOWN, lines, table, written


def box(step: int, value: float) -> str:
    return (
        f"------------------------------\n| rollout/           |         |\n|    ep_len_mean     | 200     |\n"
        f"|    ep_rew_mean     | {value}  |\n| time/              |         |\n|    total_timesteps | {step * 64}  |\n"
        "------------------------------\n"
    )


def nemo(step: int, value: float) -> str:
    return (
        f"========================= Step {step}/60 =========================\n▶ Preparing batch...\n"
        f"📊 Training Results:\n  • Loss: 0.0123\n  • Avg Reward: {value}\n  • Mean Generation Length: 512.0000\n"
        "⏱️  Timing:\n  • Total step time: 12.3s\n"
    )


# name -> (file, content, first step, last step)
TEXTS: dict[str, tuple[str, str | bytes, int, int]] = {
    "sb3 console": ("x.log", lines(box), 64, 3840),
    "nemo console": ("x.log", lines(nemo), 1, 60),
    "prime-rl console": (
        "orchestrator.log",
        lines(
            lambda s, v: (
                f"12:00:{s % 60:02d} SUCCESS Step {s} | Time: 33.52s | Reward: {v} | Throughput: 812.1 tokens/s | "
                "Seq. Length: 512.3 tokens/sample\n"
            )
        ),
        1,
        60,
    ),
    "tqdm postfix": (
        "x.txt",
        lines(lambda s, v: f"\rEpisode [1/1]:  5%|#   | {s}/60 [00:{s % 60:02d}<10:00, 3.1s/it, reward={v}, kl=0.01]"),
        1,
        60,
    ),
    "openrlhf": (
        "x.log",
        lines(lambda s, v: f"\x1b[36m(PPO pid=3)\x1b[0m ✨ Global step {s}: {{'policy_loss': 0.1, 'reward': {v}}}\n"),
        1,
        60,
    ),
    "roll json in a log": (
        "x.log",
        lines(lambda s, v: f'[2025-06-01 10:00] INFO {{"system/step": {s}, "critic/score/mean": {v}, "kl": 0.1}}\n'),
        1,
        60,
    ),
    "logging with an iteration": (
        "run.log",
        lines(lambda s, v: f"2025-01-01 10:00:00,123 - main - INFO - Iteration {s}/60: mean_reward={v}, kl=0.012\n"),
        1,
        60,
    ),
    "isaac": (
        "x.log",
        lines(lambda s, v: f"[TRAINING] Step: {s * 100} / 6000  |  Reward: {v}  |  Loss: 0.200\n"),
        100,
        6000,
    ),
    "keras": (
        "x.log",
        lines(lambda s, v: f"Epoch {s}/60\n10/10 [=====] - 1s 5ms/step - loss: 0.3 - val_accuracy: {v}\n"),
        1,
        60,
    ),
    "epoch and step in brackets": (
        "x.log",
        lines(lambda s, v: f"Epoch [{(s - 1) // 20 + 1}/3] Step [{(s - 1) % 20 + 1}/20] reward: {v} loss: 0.1\n"),
        1,
        60,
    ),
    "wrapped numbers": (
        "x.log",
        lines(lambda s, v: f"(Task pid=9) step:{s} - critic/score/mean:np.float64({v}) - actor/lr:np.float64(1e-06)\n"),
        1,
        60,
    ),
    "tensors": ("x.log", lines(lambda s, v: f"step {s}: {{'reward': tensor({v}), 'kl': tensor(0.1)}}\n"), 1, 60),
    "semicolons and decimal commas": (
        "x.csv",
        table("step;reward;kl", lambda s, v: f"{s};{str(v).replace('.', ',')};0,01"),
        1,
        60,
    ),
    "utf-16": ("x.csv", table("step,reward", lambda s, v: f"{s},{v}", "\r\n").encode("utf-16"), 1, 60),
    "utf-16 without a mark": ("x.log", lines(lambda s, v: f"step {s} reward: {v}\r\n").encode("utf-16-le"), 1, 60),
    "gzip": ("x.csv.gz", gzip.compress(table("step,reward", lambda s, v: f"{s},{v}").encode()), 1, 60),
    "gzipped jsonl": (
        "metrics.jsonl.gz",
        gzip.compress(lines(lambda s, v: json.dumps({"step": s, "reward": v}) + "\n").encode()),
        1,
        60,
    ),
    "bom": ("x.csv", b"\xef\xbb\xbf" + table("step,reward", lambda s, v: f"{s},{v}").encode(), 1, 60),
    "tabs": ("x.tsv", table("Step\tTraining Loss\treward", lambda s, v: f"{s}\t0.000000\t{v}"), 1, 60),
    "tabs in a txt": ("x.txt", table("Step\tTraining Loss\treward", lambda s, v: f"{s}\t0.000000\t{v}"), 1, 60),
    "pipes with borders": ("x.md", table("| Step | reward |\n|---:|:---|", lambda s, v: f"| {s} | {v} |"), 1, 60),
    "pasted with spaces": ("x.txt", table("Step  Training Loss  reward", lambda s, v: f"{s}     0.0     {v}"), 1, 60),
    "pandas print": ("x.txt", table("    step    reward", lambda s, v: f"{s - 1}    {s}    {v}"), 1, 60),
    "html": (
        "card.html",
        "<p>Results</p><table><tr><th>Step</th><th>reward</th></tr>"
        + lines(lambda s, v: f"<tr><td>{s}</td><td>{v}</td></tr>")
        + "</table>",
        1,
        60,
    ),
    "model card with a log": (
        "README.md",
        "# model\n```\n" + lines(lambda s, v: f"{{'loss': 0.1, 'reward': {v}, 'step': {s}}}\n") + "```\n",
        1,
        60,
    ),
    "percent": ("x.csv", table("step,pass@1 (%)", lambda s, v: f"{s},{100 * v:.2f}"), 1, 60),
    "lightning": (
        "version_0/metrics.csv",
        table("epoch,step,train_loss,val_acc", lambda s, v: f"0,{s},0.1,\n0,{s},,{v}"),
        1,
        60,
    ),
    "ray result.json": (
        "result.json",
        lines(
            lambda s, v: (
                json.dumps(
                    {
                        "training_iteration": s,
                        "env_runners": {"episode_return_mean": v},
                        "config": {"lr": 0.1},
                        "done": False,
                    }
                )
                + "\n"
            )
        ),
        1,
        60,
    ),
    "monitor.csv": ("monitor.csv", '#{"t_start": 1.0}\n' + table("r,l,t", lambda s, v: f"{v},200,{s}.5"), 1, 60),
    "spinning up": (
        "progress.txt",
        table("Epoch\tAverageEpRet\tTotalEnvInteracts", lambda s, v: f"{s - 1}\t{v}\t{4000 * s}"),
        4000,
        240000,
    ),
    "comma lists": ("x.json", json.dumps({"step": STEPS, "reward": UP_AND_DOWN}), 1, 60),
    "keras history": ("history.json", json.dumps({"loss": [0.1] * 60, "val_accuracy": UP_AND_DOWN}), 1, 60),
    "steps with records": (
        "x.json",
        json.dumps({str(s): {"reward": v} for s, v in POINTS}),
        1,
        60,
    ),
    "tensorboard json": (
        "x.json",
        json.dumps({"train/reward": [[1.0, s, v] for s, v in POINTS]}),
        1,
        60,
    ),
    "pandas columns": (
        "x.json",
        json.dumps(
            {
                "step": {str(i): s for i, s in enumerate(STEPS)},
                "reward": {str(i): v for i, v in enumerate(UP_AND_DOWN)},
            }
        ),
        1,
        60,
    ),
    "nested rows": (
        "x.json",
        json.dumps({"run": "a", "history": [{"step": s, "reward": v} for s, v in POINTS]}),
        1,
        60,
    ),
    "pretty objects one after the other": (
        "x.json",
        lines(lambda s, v: json.dumps({"step": s, "reward": v}, indent=1) + "\n"),
        1,
        60,
    ),
    "step names": ("x.csv", table("checkpoint,accuracy", lambda s, v: f"step_{s * 10},{v}"), 10, 600),
    "thousands": ("x.csv", table("step,reward", lambda s, v: f'"{s * 1000:,}",{v}'), 1000, 60000),
    "steps as words": ("x.csv", table("step,reward", lambda s, v: f"{s}/60,{v}"), 1, 60),
    "a batch within an epoch": (
        "x.csv",
        table("epoch,batch,reward", lambda s, v: f"{(s - 1) // 20},{(s - 1) % 20},{v}"),
        0,
        59,
    ),
    "fractions of epochs": ("x.jsonl", lines(lambda s, v: json.dumps({"epoch": s / 60, "reward": v}) + "\n"), 1, 60),
    "verl file logger": (
        "x.jsonl",
        lines(lambda s, v: json.dumps({"step": s, "data": {"val-core/gsm8k/acc/mean@1": v}}) + "\n"),
        1,
        60,
    ),
    "per-sample rows": (
        "x.jsonl",
        lines(lambda s, v: "".join(json.dumps({"step": s, "idx": i, "reward": v}) + "\n" for i in range(3))),
        1,
        60,
    ),
    "samples problem by problem": (
        "x.csv",
        "problem_id,step,score\n" + "".join(f"{p},{s},{v}\n" for p in range(3) for s, v in POINTS),
        1,
        60,
    ),
    "long form": ("x.csv", table("step,metric,value", lambda s, v: f"{s},reward,{v}\n{s},loss,0.1"), 1, 60),
    "comet": ("x.csv", table('"metricName","metricValue","step"', lambda s, v: f"reward,{v},{s}\nloss,0.1,{s}"), 1, 60),
    "an evaluation's line after that of its step": (
        "x.log",
        lines(lambda s, v: f"step {s}: done\nEvaluated aime2024 in 12.3s (Avg@32={v}, Completion Length: 512.00)\n"),
        1,
        60,
    ),
    "rllib result": (
        "x.log",
        lines(lambda s, v: f"Result for PPO_0:\n  episode_reward_mean: {v}\n  training_iteration: {s}\n"),
        1,
        60,
    ),
    "train and eval rows": (
        "x.csv",
        table("step,split,accuracy", lambda s, v: f"{s},train,0.9\n{s},val,{v}"),
        1,
        60,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_one_run_whatever_it_is_written_in(name: str, tmp_path: Path) -> None:
    file, content, first, last = TEXTS[name]
    (t,) = load([written(tmp_path, file, content)])
    assert (len(t), t.steps_S[0], t.steps_S[-1]) == (60, first, last), (t.metric, t.notes)
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=1e-4)


def test_the_class_of_the_specimen(tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.csv", table("step,reward", lambda s, v: f"{s},{v}"))])
    assert analyze(t).classification.label == "rise_and_collapse"


# --- several runs ---------------------------------------------------------------------------------------------------


def rows_of(**labels: Any) -> list[dict[str, Any]]:
    values = UP_AND_DOWN if labels.pop("falls") else HELD
    return [{**labels, "step": s, "reward": v} for s, v in zip(STEPS, values, strict=True)]


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


SEVERAL: dict[str, tuple[str, str]] = {
    "run names": ("x.csv", as_csv(rows_of(run="a", falls=True) + rows_of(run="b", falls=False))),
    "seeds": ("x.csv", as_csv(rows_of(seed=0, falls=True) + rows_of(seed=1, falls=False))),
    "interleaved": (
        "x.csv",
        as_csv(
            [
                r
                for pair in zip(rows_of(trial_id="t0", falls=True), rows_of(trial_id="t1", falls=False), strict=True)
                for r in pair
            ]
        ),
    ),
    "a word of the user's own": (
        "x.csv",
        as_csv(rows_of(shard="north", falls=True) + rows_of(shard="south", falls=False)),
    ),
    "jsonl": (
        "x.jsonl",
        "".join(json.dumps(r) + "\n" for r in rows_of(run_name="a", falls=True) + rows_of(run_name="b", falls=False)),
    ),
    "one after the other": ("x.csv", as_csv(rows_of(falls=True) + rows_of(falls=False))),
    "a column per seed": (
        "x.csv",
        "step,seed_0,seed_1\n" + "".join(f"{s},{a},{b}\n" for s, a, b in zip(STEPS, UP_AND_DOWN, HELD, strict=True)),
    ),
    "a column per run of W&B": (
        "x.csv",
        '"Step","a - eval/acc","a - eval/acc__MIN","b - eval/acc"\n'
        + "".join(f'"{s}","{a}","{a}","{b}"\n' for s, a, b in zip(STEPS, UP_AND_DOWN, HELD, strict=True)),
    ),
    "runs in one document": (
        "x.json",
        json.dumps(
            {
                name: [{"step": s, "reward": v} for s, v in zip(STEPS, values, strict=True)]
                for name, values in (("a", UP_AND_DOWN), ("b", HELD))
            }
        ),
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_runs_in_one_file_are_several(name: str, tmp_path: Path) -> None:
    trajectories = load([written(tmp_path, *SEVERAL[name])])
    assert [len(t) for t in trajectories] == [60, 60], [(t.name, t.notes) for t in trajectories]
    assert len({t.name for t in trajectories}) == 2
    assert sorted(analyze(t).classification.label for t in trajectories) == ["rise", "rise_and_collapse"]


def names(trajectories: list[Trajectory]) -> list[str]:
    return [t.name for t in trajectories]


def test_checkpoints_of_one_run_are_one(tmp_path: Path) -> None:
    rows = [{"step": s, "reward": v, "epoch": s / 60} for s, v in POINTS]
    for last in (20, 40, 60):
        written(tmp_path / "out", f"checkpoint-{last}/trainer_state.json", json.dumps({"log_history": rows[:last]}))
    (t,) = load([tmp_path / "out"])
    assert (t.name, len(t)) == ("out", 60)
    assert "3 states of one run" in " ".join(t.notes)
    (named,) = load(sorted((tmp_path / "out").rglob("trainer_state.json")))
    assert len(named) == 60


def test_two_output_directories_are_two_runs(tmp_path: Path) -> None:
    for run, values in (("a", UP_AND_DOWN), ("b", HELD)):
        rows = [{"step": s, "reward": v} for s, v in zip(STEPS, values, strict=True)]
        written(tmp_path, f"{run}/checkpoint-60/trainer_state.json", json.dumps({"log_history": rows}))
    assert names(load([tmp_path])) == ["checkpoint-60", "checkpoint-60"] or len(set(names(load([tmp_path])))) == 2


def test_names_that_occur_twice_get_their_directories(tmp_path: Path) -> None:
    for run in ("a", "b"):
        written(tmp_path, f"{run}/logs/train.csv", table("step,reward", lambda s, v: f"{s},{v}"))
    assert names(load([tmp_path])) == ["a/logs/train", "b/logs/train"]


def test_a_restart_replaces_and_a_false_start_is_dropped(tmp_path: Path) -> None:
    first = [(s, 0.9) for s in range(1, 41)]
    again = list(POINTS)
    rows = first + [(s, v) for s, v in again if s > 25]
    (t,) = load([written(tmp_path, "x.csv", "step,reward\n" + "".join(f"{s},{v}\n" for s, v in rows))])
    assert (len(t), t.values_S[24], t.values_S[25]) == (60, 0.9, UP_AND_DOWN[25])
    rows = [(s, 0.9) for s in range(1, 6)] + again
    (t,) = load([written(tmp_path, "y.csv", "step,reward\n" + "".join(f"{s},{v}\n" for s, v in rows))])
    assert t.values_S.tolist() == UP_AND_DOWN


def test_a_console_that_prints_every_ten_steps_behind_a_bar(tmp_path: Path) -> None:
    text = "Map: 100%|##| 1000/1000 [00:01<00:00, 900.00 examples/s]\n"
    for i, v in enumerate(UP_AND_DOWN):
        text += "".join(f"\r{n}%|#| {n}/600 [00:01<11:20, 3.4s/it]" for n in range(10 * i + 1, 10 * i + 11))
        text += f"\n{{'loss': 0.0, 'reward': {v}, 'epoch': {i / 60:.2f}}}\n"
    (t,) = load([written(tmp_path, "x.log", text)])
    assert (len(t), t.steps_S[0], t.steps_S[-1]) == (60, 10, 600)


def test_rows_without_the_step_are_left_out_and_lone_evaluations_are_kept(tmp_path: Path) -> None:
    rows = []
    for s, v in POINTS:
        rows += [{"_step": 3 * s, "train/global_step": s, "train/reward": v}, {"_step": 3 * s + 1, "system/gpu": 1.0}]
        rows += [{"_step": 3 * s + 2, "eval/accuracy": v}]
    (t,) = load([written(tmp_path, "x.jsonl", "".join(json.dumps(r) + "\n" for r in rows))])
    assert (t.metric, len(t), t.steps_S[-1]) == ("eval/accuracy", 60, 60)


def test_a_graded_sample_a_row_says_how_many_there_are(tmp_path: Path) -> None:
    text = "".join(
        json.dumps({"step": s, "problem": i, "correct": i < 64 * v}) + "\n" for s, v in POINTS for i in range(64)
    )
    (t,) = load([written(tmp_path, "x.jsonl", text)])
    assert t.standard_errors_S is not None
    assert t.standard_errors_S[0] == pytest.approx(0.057, abs=0.003)


def test_samples_by_option_by_metric_and_by_column(tmp_path: Path) -> None:
    few = written(tmp_path, "x.csv", "step,eval_accuracy\n1,0.7\n2,0.72\n3,0.7\n4,0.6\n5,0.5\n6,0.42\n")
    assert analyze(load([few])[0]).cautions
    for (t,) in (load([few], samples=400), load([few], "eval_accuracy@400"), load([few], ["eval_*@400"])):
        a = analyze(t)
        assert (a.classification.label, a.classification.known, a.cautions) == ("collapse", True, ())
    counted = written(tmp_path, "y.csv", "step,eval_accuracy,n\n1,0.7,400\n2,0.72,400\n3,0.7,400\n4,0.3,400\n")
    assert analyze(load([counted])[0]).classification.label == "collapse"


def test_several_metrics_and_globs(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", table("step,eval/a,eval/b,reward", lambda s, v: f"{s},{v},{v / 2},{v / 4}"))
    assert [t.metric for t in load([path], ["eval/*", "reward"])] == ["eval/a", "eval/b", "reward"]
