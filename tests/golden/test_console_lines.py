"""Console logs and exports as tools write them: one curve in each, read back with its steps, runs and class."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.analyze import analyze
from crestfall.analysis.importers.load import load
from curves import HELD, STEPS, UP_AND_DOWN, both, lines, table, written

RULE = "-" * 80 + "\n"


def deepspeed(s: int, v: float) -> str:
    return (
        f"Epoch: 0 | Step: {s} | PPO Epoch: 1 | Actor Loss: 0.02 | Critic Loss: 0.2 | Unsupervised Loss: 0.0\n"
        "End-to-End => Latency: 2.1s, TFLOPs: 20.1, Samples/sec: 1.9, Batch Size: 4, Total Seq. Length: 512\n"
        f"Average reward score: {v} | EMA reward score: 0.4\n{RULE}"
    )


def rsl_rl(s: int, v: float) -> str:
    return (
        "#" * 80 + f"\n             Learning iteration {s}/1500             \n\n"
        f"          Computation: 46045 steps/s (collection: 0.975s, learning 0.092s)\n"
        f"          Mean action noise std: 0.40\n          Mean reward: {v}\n   Mean episode length: 242.41\n{RULE}"
        f"          Total timesteps: {s * 98304}\n          Iteration time: 1.07s\n          ETA: 1500.0s\n\n"
    )


def dowel(s: int, v: float) -> str:
    line = "---------------------  ---------\n"
    return (
        f"2026-05-24 14:00:03 | [trpo] epoch #{s} | Saving\n{line}Evaluation/AverageReturn   {v}\nEntropy  1.0\n{line}"
    )


def areal(s: int, v: float) -> str:
    return (
        f"20260524-14:00:03.123 [StatsLogger] INFO: Epoch 1/10 Step {s}/120 Train step {s}/1200 done.\n"
        "╭──────────────────────┬────────────┬──────────────────────────────┬────────────╮\n"
        f"│ rollout/reward       │ {v:.4e} │ ppo_actor/update/entropy/avg │ 2.0000e-01 │\n"
        "╰──────────────────────┴────────────┴──────────────────────────────┴────────────╯\n"
    )


def open_instruct(s: int, v: float) -> str:
    return (
        "╭──────────────── Metrics ─────────────────╮\n"
        f"│  objective  verifiable_reward: {v} | kl: 0.01   │\n"
        f"│  other      episode: {s * 512} | training_step: {s} | lr: 0.00 │\n"
        "│  val        sequence_lengths: 512.30 | stop_rate: 0.98 │\n"
        "╰──────────────────────────────────────────╯\n"
    )


def slime(s: int, v: float) -> str:
    return (
        f"(RolloutManager pid=18) [2026-04-15 07:57:53] rollout.py:1193 - perf {s}: {{'perf/rollout_time': 371.1}}\n"
        f"(MegatronTrainRayActor pid=99) [2026-04-15 07:58:53] data.py:300 - rollout {s}: "
        f"{{'rollout/log_probs': -0.3, 'rollout/raw_reward': {v}}}\n"
        f"(MegatronTrainRayActor pid=99) [2026-04-15 07:59:53] model.py:500 - step {s}: {{'train/entropy_loss': 0.3}}\n"
    )


def swift(s: int, v: float) -> str:
    return (
        f"{{'loss': 0.0, 'grad_norm': 0.1, 'memory(GiB)': 63.16, 'train_speed(iter/s)': 0.01119, 'reward': {v}, "
        f"'rewards/MathAccuracy/mean': 0.9, 'epoch': 0.64, 'global_step/max_steps': '{s}/60', 'percentage': '31.82%', "
        f"'elapsed_time': '1h {s}m 38s'}}\n"
    )


# name -> (what a step prints, metric, first step, last step)
CONSOLES: dict[str, tuple[Callable[[int, float], str], str, int, int]] = {
    "deepspeed-chat": (deepspeed, "Average reward score", 1, 60),
    "rsl_rl": (rsl_rl, "Mean reward", 1, 60),
    "garage": (dowel, "Evaluation/AverageReturn", 1, 60),
    "AReaL, two pairs a line": (areal, "rollout/reward", 1, 60),
    "open-instruct": (open_instruct, "verifiable_reward", 1, 60),
    "slime": (slime, "rollout/raw_reward", 1, 60),
    "ms-swift": (swift, "reward", 1, 60),
    "python logging": (
        lambda s, v: f"2026-05-24 14:00:03,512 - INFO - step {s} reward: {v} kl: 0.012 grad_norm: 0.3\n",
        "reward",
        1,
        60,
    ),
    "no colons": (lambda s, v: f"iter {s} | loss 0.1234 | rew {v} | kl 0.01\n", "rew", 1, 60),
    "spaces alone": (lambda s, v: f"Step {s}: reward {v} kl 0.012 len 512\n", "reward", 1, 60),
    "an arrow": (lambda s, v: f"step {s:04d} -> reward {v:.4f} (best 0.75)\n", "reward", 1, 60),
    "commas": (lambda s, v: f"Time 08h 36m 42s, Iteration {s}, Avg Reward {v}, Best 0.9\n", "Avg Reward", 1, 60),
    "a counter in brackets": (lambda s, v: f"[{s}/60] reward: {v}, loss: 0.1\n", "reward", 1, 60),
    "torchvision": (
        lambda s, v: f"Epoch: [0][{s}/60]\tTime 0.1 (0.1)\tLoss 0.1 (0.2)\tAcc@1 {v} (50.0)\n",
        "Acc@1",
        1,
        60,
    ),
    "cleanrl with an array": (
        lambda s, v: f"SPS: 1200\nglobal_step={128 * s}, episodic_return=[{v}]\n",
        "episodic_return",
        128,
        7680,
    ),
    "ranks": (
        lambda s, v: "".join(f"[rank{r}]: step {s} | loss 0.1 | reward {v + r - 1.5:.4f}\n" for r in range(4)),
        "reward",
        1,
        60,
    ),
    "prime-rl": (
        lambda s, v: f"14:22:03 SUCCESS Completed step {s} | time=2s | reward={v} | seq_len=512 tok/sample\n",
        "reward",
        1,
        60,
    ),
    "a bar's description": (
        lambda s, v: f"\rreward: {v:.4f}: {s:3d}%|███  | {s}/60 [00:01<00:10, 1.2s/it]",
        "reward",
        1,
        60,
    ),
    "numpy's numbers": (lambda s, v: f"step {s} reward np.float32({v}) loss 0.1\n", "reward", 1, 60),
    "srun": (lambda s, v: "".join(f"{r}: step {s} reward {v}\n" for r in range(4)), "reward", 1, 60),
    "a resumed run": (
        lambda s, v: f"step {s} reward {v}\n" + ("Traceback: CUDA error\nstep 31 reward 0.9\n" if s == 40 else ""),
        "reward",
        1,
        60,
    ),
}


@pytest.mark.parametrize("name", CONSOLES)
def test_consoles(name: str, tmp_path: Path) -> None:
    write, metric, first, last = CONSOLES[name]
    (t,) = load([written(tmp_path, "x.log", lines(write))])
    expected = UP_AND_DOWN
    if name == "a resumed run":
        expected = [*UP_AND_DOWN[:30], 0.9, *UP_AND_DOWN[40:]]
    assert (t.metric, t.steps_S[0], t.steps_S[-1], len(t)) == (metric, first, last, len(expected)), t.notes
    assert t.values_S == pytest.approx(np.array(expected), abs=1e-4)


def rllib(s: int, v: float, run: str) -> str:
    return (
        f"Result for PPO_{run}_0:\n  date: 2022-07-27_15-41-01\n  done: false\n  episode_reward_mean: {v}\n"
        f"  timesteps_total: {4000 * s}\n  training_iteration: {s}\n\n"
    )


def tune(s: int, v: float, run: str) -> str:
    return (
        "+---------------+----------+--------+-------+----------+\n"
        "| Trial name    | status   |   iter |    ts |   reward |\n"
        "|---------------+----------+--------+-------+----------|\n"
        f"| PPO_x_0000{run}  | RUNNING  | {s:6d} | {s * 4000:5d} | {v:8} |\n"
        "+---------------+----------+--------+-------+----------+\n\n"
    )


# Two runs that print in turn.
INTERLEAVED: dict[str, Callable[[int, float, str], str]] = {
    "names in brackets": lambda s, v, run: f"[run {run}] step {s} reward: {v} kl: 0.01\n",
    "Ray's actors": lambda s, v, run: (
        f"\x1b[36m(TaskRunner pid={ord(run)})\x1b[0m step:{s} - critic/score/mean:{v} - actor/entropy:0.3\n"
    ),
    "docker compose": lambda s, v, run: f"trainer-{run}-1  | {{'loss': 0.0, 'reward': {v}, 'step': {s}}}\n",
    "rows without a step": lambda s, v, run: f"[exp-{run}] {{'loss': 0.0, 'reward': {v}, 'epoch': {s / 60:.2f}}}\n",
    "seeds": lambda s, v, run: f"seed={ord(run)} | step {s} | reward {v}\n",
    "after the time": lambda s, v, run: f"2026-05-24 14:00:{s % 60:02d} INFO run_{run}: step {s}, reward={v}\n",
    "RLlib": rllib,
    "Tune's table": tune,
}


@pytest.mark.parametrize("name", INTERLEAVED)
def test_runs_that_print_in_turn_are_several(name: str, tmp_path: Path) -> None:
    runs = load([written(tmp_path, "x.log", both(INTERLEAVED[name]))])
    assert [len(t) for t in runs] == [60, 60], [t.notes for t in runs]
    assert len({t.name for t in runs}) == 2
    assert sorted(analyze(t).classification.label for t in runs) == ["rise", "rise_and_collapse"]


def test_actors_that_follow_each_other_are_one_run(tmp_path: Path) -> None:
    text = lines(lambda s, v: f"(TaskRunner pid={1 if s < 40 else 2}) step:{s} - critic/score/mean:{v}\n")
    (t,) = load([written(tmp_path, "x.log", text)])
    assert len(t) == 60


# name -> (file, content, first step, last step)
TABLES: dict[str, tuple[str, str | bytes, int, int]] = {
    "thousands of steps": ("x.csv", table("step (k),reward", lambda s, v: f"{s},{v}"), 1000, 60_000),
    "millions of steps": ("x.csv", table("env steps (M),reward", lambda s, v: f"{s / 10:.1f},{v}"), 100_000, 6_000_000),
    "no header": ("x.csv", "".join(f"{s},{v}\n" for s, v in zip(STEPS, UP_AND_DOWN, strict=True)), 1, 60),
    "no header, spaces": ("x.txt", "".join(f"{s} {v}\n" for s, v in zip(STEPS, UP_AND_DOWN, strict=True)), 1, 60),
    "no header, a time": ("x.csv", lines(lambda s, v: f"{s}.0,1700000{s:03d}.12,{v}\n"), 1, 60),
    "German": ("x.csv", table("Schritt;Wert", lambda s, v: f"{s};{v}".replace(".", ",")), 1, 60),
    "German thousands": (
        "x.csv",
        table("step;accuracy;time", lambda s, v: f"{s}.000;{str(v).replace('.', ',')};1.234,5"),
        1000,
        60_000,
    ),
    "German percent": (
        "x.csv",
        table("Step;Pass@1", lambda s, v: f"{s};{100 * v:.2f} %".replace(".", ",")),
        1,
        60,
    ),
    "spaces in thousands": ("x.csv", table("step,reward", lambda s, v: f"{s} 000,{v}"), 1000, 60_000),
    "tokens": ("x.csv", table("tokens,val_acc", lambda s, v: f"{s * 1024},{v}"), 1024, 61_440),
    "headers in the middle": (
        "x.csv",
        "step,reward\n" + lines(lambda s, v: f"{s},{v}\n" if s < 41 else ""),
        1,
        40,
    ),
    "another header in the middle": (
        "x.csv",
        "step,reward\n"
        + lines(lambda s, v: f"{s},{v}\n" if s < 41 else ("step,kl,reward\n" if s == 41 else "") + f"{s},0.1,{v}\n"),
        1,
        60,
    ),
    "missing at the end": (
        "x.jsonl",
        lines(lambda s, v: json.dumps({"current_steps": s, "loss": 4.4, "reward": v}) + "\n")
        + json.dumps({"current_steps": 60, "loss": None, "reward": None})
        + "\n",
        1,
        60,
    ),
    "aim": ("x.csv", table(",run.hash,metric.name,step,value", lambda s, v: f"{s},abc,reward,{s},{v}"), 1, 60),
    "clearml": ("x.json", json.dumps({"reward": {"train": {"name": "t", "x": STEPS, "y": UP_AND_DOWN}}}), 1, 60),
    "plotly": ("x.json", json.dumps({"data": [{"name": "val/acc", "x": STEPS, "y": UP_AND_DOWN}]}), 1, 60),
    "units below the header": ("x.csv", "step,reward\n(steps),(mean)\n" + lines(lambda s, v: f"{s},{v}\n"), 1, 60),
    "Excel": ("x.csv", table("sep=;\nstep;reward", lambda s, v: f"{s};{v}".replace(".", ",")), 1, 60),
    "comments between rows": (
        "x.csv",
        table("step,reward", lambda s, v: ("# resumed\n" if s == 20 else "") + f"{s},{v}"),
        1,
        60,
    ),
    "train and eval events": (
        "x.jsonl",
        lines(
            lambda s, v: (
                json.dumps({"event": "train", "step": s, "reward": 0.5})
                + "\n"
                + json.dumps({"event": "eval", "step": s, "score": v})
                + "\n"
            )
        ),
        1,
        60,
    ),
    "a list of rewards a step": (
        "x.jsonl",
        lines(lambda s, v: json.dumps({"step": s, "rewards": [v - 0.1, v + 0.1]}) + "\n"),
        1,
        60,
    ),
    "numbers alone": ("x.json", json.dumps(UP_AND_DOWN), 1, 60),
    "a number a line": ("x.txt", lines(lambda s, v: f"{v}\n"), 1, 60),
    "parts called by environments": (
        "x.jsonl",
        lines(lambda s, v: json.dumps({"step": s, "reward/math/mean": 0.5, "reward/all/mean": v}) + "\n"),
        1,
        60,
    ),
    "printed history": ("x.txt", repr({"loss": [0.1] * 60, "val_accuracy": UP_AND_DOWN}), 1, 60),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str, tmp_path: Path) -> None:
    file, content, first, last = TABLES[name]
    (t,) = load([written(tmp_path, file, content)])
    expected = UP_AND_DOWN[:40] if name == "headers in the middle" else UP_AND_DOWN
    assert (t.steps_S[0], t.steps_S[-1], len(t)) == (first, last, len(expected)), (t.metric, t.notes)
    assert t.values_S == pytest.approx(np.array(expected), abs=1e-4)


def test_columns_that_differ_in_a_seed_are_runs(tmp_path: Path) -> None:
    rows = "".join(f"{s},{a},{b}\n" for s, a, b in zip(STEPS, UP_AND_DOWN, HELD, strict=True))
    runs = load([written(tmp_path, "x.csv", "step,reward_seed1,reward_seed2\n" + rows)])
    assert [(t.name, t.metric, len(t)) for t in runs] == [("seed1", "reward", 60), ("seed2", "reward", 60)]


def mlflow(db: sqlite3.Connection) -> None:
    db.execute("create table runs(run_uuid text, name text, start_time integer, lifecycle_stage text)")
    db.execute("create table metrics(key text, value real, timestamp integer, run_uuid text, step integer, is_nan int)")
    for start, (name, values) in enumerate((("owl", UP_AND_DOWN), ("fox", HELD), ("gone", HELD))):
        stage = "deleted" if name == "gone" else "active"
        db.execute("insert into runs values (?, ?, ?, ?)", (f"id-{name}", name, start, stage))
        rows = [("reward", v, s, f"id-{name}", s, 0) for s, v in zip(STEPS, values, strict=True)]
        db.executemany("insert into metrics values (?, ?, ?, ?, ?, ?)", rows)


def trackio(db: sqlite3.Connection) -> None:
    db.execute("create table metrics(id integer primary key, run_name text, step integer, metrics text)")
    for name, values in (("owl", UP_AND_DOWN), ("fox", HELD)):
        rows = [(name, s, json.dumps({"train/reward": v, "kl": 0.1})) for s, v in zip(STEPS, values, strict=True)]
        db.executemany("insert into metrics(run_name, step, metrics) values (?, ?, ?)", rows)


def own(db: sqlite3.Connection) -> None:
    db.execute("create table log(run text, step integer, reward real)")
    for name, values in (("owl", UP_AND_DOWN), ("fox", HELD)):
        db.executemany("insert into log values (?, ?, ?)", [(name, s, v) for s, v in zip(STEPS, values, strict=True)])


@pytest.mark.parametrize("fill", [mlflow, trackio, own])
def test_sqlite(fill: Callable[[sqlite3.Connection], None], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "runs.db")) as db:
        fill(db)
        db.commit()
    runs = load([tmp_path / "runs.db"])
    assert [(t.name.split()[-1], t.steps_S[-1]) for t in runs] == [("owl", 60), ("fox", 60)]
    assert [analyze(t).classification.label for t in runs] == ["rise_and_collapse", "rise"]


@pytest.mark.parametrize("after", [True, False])
def test_a_share_that_changes_to_percent_in_the_middle(after: bool, tmp_path: Path) -> None:
    rows = lines(lambda s, v: f"{s},{100 * v if (s > 40) is after else v},{s * 10 if s > 30 else s}\n")
    (t,) = load([written(tmp_path, "x.csv", "step,eval_accuracy,eval_reward\n" + rows)])
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=1e-9)
    assert "eval_accuracy is in percent" in " ".join(t.notes)
    assert t.others["eval_reward"].series.values_S.max() == 600  # a reward has a scale of its own


def test_a_score_that_passes_one_is_no_change_of_scale(tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.csv", table("step,eval_accuracy", lambda s, v: f"{s},{v * 4}"))])
    assert t.values_S.max() > 1


def test_three_points_of_unknown_noise_have_no_interval(tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.csv", "step,eval_accuracy\n1,0.5\n2,0.6\n3,0.3\n")])
    found = analyze(t).to_json()
    assert (found["class"], found["noise"]) == ("too_few_points", None)
    assert set(found["intervals"].values()) == {None}
    (known,) = load([written(tmp_path, "x.csv", "step,eval_accuracy\n1,0.5\n2,0.6\n3,0.3\n")], samples=400)
    assert analyze(known).to_json()["intervals"]["peak"][0] > 0.5


def test_of_several_evaluations_one_of_the_same_kind_is_shown(tmp_path: Path) -> None:
    header = "step,eval/pass@1,eval/pass@32,eval/pass@64,eval/truncated"
    (t,) = load([written(tmp_path, "x.csv", table(header, lambda s, v: f"{s},{v},0.9,0.95,0.1"))])
    a = analyze(t)
    assert (a.trajectory.metric, a.classification.label) == ("eval/pass@1", "rise_and_collapse")
    assert "1 of 3 evaluations collapse" in a.headline


def test_counts_are_shares_of_known_noise(tmp_path: Path) -> None:
    text = lines(lambda s, v: f"[step {s}] solved {round(164 * v)}/164 problems\n")
    (t,) = load([written(tmp_path, "x.log", text)])
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=0.004)
    assert t.standard_errors_S is not None
    (table_of,) = load([written(tmp_path, "x.csv", table("step,pass@1", lambda s, v: f"{s},{round(164 * v)}/164"))])
    assert table_of.values_S.tolist() == t.values_S.tolist()


def test_a_json_per_checkpoint_is_one_run(tmp_path: Path) -> None:
    for s, v in zip(STEPS, UP_AND_DOWN, strict=True):
        lm_eval = {"results": {"gsm8k": {"exact_match,strict-match": v, "exact_match_stderr,strict-match": 0.01}}}
        written(tmp_path, f"a/checkpoint-{10 * s}/results_2026-05-{s % 28}.json", json.dumps(lm_eval))
        written(tmp_path, f"a/checkpoint-{10 * s}/config.json", json.dumps({"hidden_size": 64, "score": 1}))
        written(tmp_path, f"b/step_{s}.json", json.dumps({"accuracy": v, "n": 200}))
    a, b = load([tmp_path])
    assert (a.name, a.steps_S[-1], len(a)) == ("a", 600, 60)
    assert (b.name, b.steps_S[-1], len(b)) == ("b", 60, 60)
    assert b.standard_errors_S is not None


def test_arrays(tmp_path: Path) -> None:
    results = np.array(UP_AND_DOWN)[:, None] + np.array([-0.1, 0.1])
    np.savez(tmp_path / "evaluations.npz", timesteps=1000 * np.array(STEPS), results=results)
    (t,) = load([tmp_path / "evaluations.npz"])
    assert (t.metric, t.steps_S[-1]) == ("eval/mean_reward", 60_000)
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN))


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"_step": STEPS, "train/reward": UP_AND_DOWN}), tmp_path / "x.parquet")
    (t,) = load([tmp_path / "x.parquet"])
    assert (t.metric, t.values_S.tolist()) == ("train/reward", UP_AND_DOWN)


def test_comma_before_the_milliseconds_of_a_time_is_none_of_thousands(tmp_path: Path) -> None:
    text = lines(lambda s, v: f"2026-03-01 12:01:{s % 50 + 10},{s + 100} INFO step {s},000 | reward {v}\n")
    (t,) = load([written(tmp_path, "x.log", text)])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == ([1000 * s for s in STEPS], UP_AND_DOWN)


def test_dict_on_the_line_of_its_progress_bar_has_the_bars_step(tmp_path: Path) -> None:
    bar = "{p:3d}%|{b}▌ | {s}/60 [00:{s:02d}<01:00,  1.31s/it]"
    text = lines(lambda s, v: f"\r{bar.format(p=s, b='█' * (s // 6), s=s)}{{'reward': '{v}', 'epoch': '0.{s}'}}\n")
    (t,) = load([written(tmp_path, "x.log", text)])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)
