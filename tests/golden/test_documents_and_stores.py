"""Documents that are nearly JSON, YAML, stores of trackers, folders of several files: one curve, read back whole."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.analyze import analyze
from crestfall.analysis.importers.load import load
from crestfall.core.errors import InputError
from curves import HELD, POINTS, STEPS, UP_AND_DOWN, lines, table, written

ROWS = [{"step": s, "reward": v} for s, v in POINTS]
EVALUATED = UP_AND_DOWN[::5]


def verl(step: int, value: float) -> str:
    """Sampled text has a counter of its own; the evaluation before training has no `training/global_step`."""
    held_out = f"val-core/math/acc/mean@8:{EVALUATED[step // 5]} - " if step % 5 == 0 and step < 60 else ""
    first = f"step:0 - val-core/math/acc/mean@8:{EVALUATED[0]}\n" if step == 1 else ""
    return (
        f"{first}(TaskRunner pid=7) step:{step} - {held_out}critic/score/mean:{value} - training/global_step:{step}\n"
        "(TaskRunner pid=7) [response] Step 1: 3+4=7 so reward: 9\n"
    )


def nanochat(step: int, value: float) -> str:
    held_out = (
        f"Step {step} | Pass@1: {EVALUATED[step // 5]:.4f}, Pass@8: 0.8000\n" if step % 5 == 0 and step < 60 else ""
    )
    passes = [f"Step {step}/60 | Example step {e} | Pass {e} | loss: 0.1 | Average reward: {value}\n" for e in range(2)]
    return held_out + "".join(passes) + f"Step {step}/60 | Average reward: {value} | Average sequence length: 210.1\n"


def trl(step: int, value: float) -> str:
    return (
        f" {step}%|▏| {step * 10}/600 [00:10<30:00,  3.01s/it]\n"
        f"{{'loss': 0.1, 'rewards/accuracy/mean': {value}, 'reward': {value}, 'epoch': {step / 60:.2f}}}\n"
        f"╭──────── Step {step * 10} ────────╮\n│ │ Step 3: 4? │ step 9: reward=2 │ 0.00 │ │\n╰───────────────────╯\n"
    )


DOCUMENTS: dict[str, tuple[str, str | bytes, int, int, int]] = {
    "yaml rows": ("x.yaml", lines(lambda s, v: f"- step: {s}\n  reward: {v}\n"), 1, 60, 60),
    "yaml documents": (
        "x.yml",
        lines(lambda s, v: f"---\nstep: {s}\nmetrics:\n  reward: {v}\n  lr: 1e-6\n"),
        1,
        60,
        60,
    ),
    "json with commas at the end": (
        "x.json",
        "// exported\n[\n" + lines(lambda s, v: f"{{step: {s}, reward: {v}, loss: NaN,}},\n") + "]\n",
        1,
        60,
        60,
    ),
    "json cut off": ("x.json", json.dumps(ROWS)[:-20], 1, 59, 59),
    "python's list of dicts": ("x.txt", str([{**row, "loss": None} for row in ROWS]), 1, 60, 60),
    "utf-32": ("x.csv", table("step,reward", lambda s, v: f"{s},{v}").encode("utf-32"), 1, 60, 60),
    "pandas' levels of columns": (
        "x.csv",
        table(",reward,reward,loss\n,mean,std,mean\nstep,,,", lambda s, v: f"{s},{v},0.1,0.2"),
        1,
        60,
        60,
    ),
    "tensors": (
        "x.log",
        lines(lambda s, v: f"step {s} reward tensor({v}, device='cuda:0') loss tensor(0.1)\n"),
        1,
        60,
        60,
    ),
    "a counter inside a name": ("x.log", lines(lambda s, v: f"Average reward at step {s}: {v}\n"), 1, 60, 60),
    "deepspeed counts otherwise": (
        "x.log",
        lines(lambda s, v: f"[Rank 0] step={s * 4}, skipped=0, lr=[1e-06]\n{{'step': {s}, 'reward': {v}}}\n"),
        1,
        60,
        60,
    ),
    "completions in the console": ("x.log", lines(trl), 10, 600, 60),
    "nanochat": ("x.log", lines(nanochat), 5, 55, 11),
    "an evaluation before training": ("x.log", lines(verl), 0, 55, 12),
    "numpy's header": ("x.dat", table("# step reward loss", lambda s, v: f"{s} {v} 0.1"), 1, 60, 60),
    "a title": ("x.csv", table("GRPO run 3\nstep,reward,loss", lambda s, v: f"{s},{v},0.1"), 1, 60, 60),
    "single quotes": ("x.csv", table("'step','reward'", lambda s, v: f"'{s}','{v}'"), 1, 60, 60),
    "lists in cells": ("x.csv", table("step,reward", lambda s, v: f'{s},"[{v - 0.1:.4f}, {v + 0.1:.4f}]"'), 1, 60, 60),
    "an array in a .jsonl": ("x.jsonl", json.dumps(ROWS), 1, 60, 60),
    "metrics as a list": (
        "x.jsonl",
        lines(lambda s, v: json.dumps({"step": s, "metrics": [{"name": "reward", "value": v}]}) + "\n"),
        1,
        60,
        60,
    ),
    "rllm counts groups": (
        "x.log",
        lines(lambda s, v: f"step:{s} - batch/solve_none:3 - batch/solve_all:{s} - traj/res_reward_mean:{v}\n"),
        1,
        60,
        60,
    ),
    "comet": (
        "metrics.json",
        json.dumps(
            [
                {"metricName": name, "metricValue": str(v), "step": s, "epoch": None, "offset": s}
                for name, scale in (("loss", 2), ("reward", 1))
                for s, v in ((s, v * scale) for s, v in POINTS)
            ]
        ),
        1,
        60,
        60,
    ),
    "a log that ends in times": (
        "trainer_log.jsonl",
        lines(lambda s, v: json.dumps({"current_steps": s, "reward": v, "elapsed_time": "0:01"}) + "\n")
        + json.dumps({"current_steps": 60, "elapsed_time": "1:00", "percentage": 100.0}),
        1,
        60,
        60,
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name: str, tmp_path: Path) -> None:
    file, content, first, last, points = DOCUMENTS[name]
    (t,) = load([written(tmp_path, file, content)])
    assert (len(t), t.steps_S[0], t.steps_S[-1]) == (points, first, last)
    of = EVALUATED[-points:] if "val-" in t.metric or "Pass" in t.metric else UP_AND_DOWN[:points]
    assert np.allclose(t.values_S, of, atol=1e-4)


TWO_RUNS = {
    "a row per seed": {"steps": STEPS, "rewards": [UP_AND_DOWN, HELD]},
    "a list of runs": {
        "config": {"model": "q"},
        "runs": [
            {"name": name, "history": [{"step": s, "reward": v} for s, v in zip(STEPS, values, strict=True)]}
            for name, values in (("a", UP_AND_DOWN), ("b", HELD))
        ],
    },
}


@pytest.mark.parametrize("name", TWO_RUNS)
def test_two_runs_in_a_document(name: str, tmp_path: Path) -> None:
    one, other = load([written(tmp_path, "x.json", json.dumps(TWO_RUNS[name]))])
    assert [one.values_S.tolist(), other.values_S.tolist()] == [UP_AND_DOWN, HELD]
    assert one.name != other.name


def test_a_column_of_a_hyperparameter_tells_runs_apart(tmp_path: Path) -> None:
    rows = "".join(f"0.0,{s},{a}\n0.04,{s},{b}\n" for s, a, b in zip(STEPS, UP_AND_DOWN, HELD, strict=True))
    one, other = load([written(tmp_path, "x.csv", f"beta,step,reward\n{rows}")])
    assert [one.values_S.tolist(), other.values_S.tolist()] == [UP_AND_DOWN, HELD]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("trials.csv", table("number,value,params_lr,state", lambda s, v: f"{s},{v},0.{s % 3 + 1},COMPLETE")),
        ("config.yaml", "steps: 100\nseeds: [1, 2, 3]\n"),
        ("x.yaml", "a: [1\n- b: {"),
        ("x.json", '{"reward": [0.1, 0.2'),
        ("backup.swanlab", "no magic"),
    ],
)
def test_what_is_no_curve_is_refused_in_one_line(file: str, content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        load([written(tmp_path, file, content)])
    assert "\n" not in str(refusal.value)
    assert file in str(refusal.value)


def swanlab_backup(folder: Path) -> None:
    rows = [{"model_type": "Experiment", "data": {"name": "grpo", "tags": []}}]
    for step, value in POINTS:
        for key, number in (("train/loss", 0.1), ("train/reward", value)):
            metric = {"index": step, "data": number, "create_time": "now", "note": "x" * 900}
            rows.append({"model_type": "Scalar", "data": {"key": key, "step": step, "metric": metric}})
    out = bytearray(struct.pack("<4sHB", b":SWL", 0xE1D6, 1))
    for data in (json.dumps(row).encode() for row in rows):
        kind = 1
        while data or kind == 1:
            left = 32768 - len(out) % 32768
            if left < 7:
                out += b"\x00" * left
                continue
            piece, data = data[: left - 7], data[left - 7 :]
            kind = (1 if not data else 2) if kind == 1 else (3 if data else 4)
            out += struct.pack("<IHB", 0, len(piece), kind) + piece
            if kind in (1, 4):
                break
    written(folder, "run-1/backup.swanlab", bytes(out) + b"\x00\x01")


def swanlab_logs(folder: Path) -> None:
    for key, values in (("train%2Floss", HELD), ("train%2Freward", UP_AND_DOWN)):
        rows = [json.dumps({"index": s, "data": v, "create_time": "now"}) for s, v in zip(STEPS, values, strict=True)]
        written(folder, f"run-1/logs/{key}/60.log", "\n".join(rows) + "\n")


def mmengine(folder: Path) -> None:
    for name in ("scalars.json", "20251004.json"):
        written(folder, f"vis_data/{name}", "\n".join(json.dumps(row) for row in ROWS))


def monitors(folder: Path) -> None:
    for i in range(3):
        rows = "\n".join(f"{v + (i - 1) / 100:.4f},{s},{s}.5" for s, v in POINTS)
        written(folder, f"{i}.monitor.csv", f'#{{"t_start": 1.0}}\nr,l,t\n{rows}\n')


def rotated(folder: Path) -> None:
    pieces = [f"step {s} reward {v}\n" for s, v in POINTS]
    written(folder, "train.log", "".join(pieces[40:]))
    written(folder, "train.log.1", "".join(pieces[20:40]))
    written(folder, "train.log.2.gz", gzip.compress("".join(pieces[:20]).encode()))


def copied(folder: Path) -> None:
    rows = [json.dumps(row) for row in ROWS]
    written(folder, "metrics.jsonl", "\n".join(rows))
    written(folder, "metrics.jsonl.bak", "\n".join(rows[:50]))


def beside_data(folder: Path) -> None:
    written(folder, "metrics.jsonl", "\n".join(json.dumps(row) for row in ROWS))
    written(folder, "problems.csv", table("id,difficulty,pass_rate", lambda s, v: f"{s},{s % 5},{v}"))
    samples = [{"question": "q", "answer": "a", "reward": 1.0, "index": s} for s in STEPS]
    written(folder, "data/train.json", json.dumps(samples))
    written(folder, "data/train.jsonl", "\n".join(map(json.dumps, samples)))


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize("write", [swanlab_backup, swanlab_logs, mmengine, monitors, rotated, copied, beside_data])
def test_a_folder_is_one_run(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    (t,) = load([tmp_path])
    assert np.allclose(t.values_S, UP_AND_DOWN)
    assert t.steps_S.tolist() == STEPS
    assert analyze(t).classification.label == "rise_and_collapse"


def test_keras_folders_of_training_and_validation(tmp_path: Path) -> None:
    event = pytest.importorskip("tensorboard.compat.proto.event_pb2", reason="needs tensorboard (extra trackers)")
    for i, (name, values) in enumerate((("train", HELD), ("validation", UP_AND_DOWN))):
        out = b""
        for step, value in zip(STEPS, values, strict=True):
            record = event.Event(step=step, wall_time=1000.0 + i + step)
            tensor = record.summary.value.add(tag="epoch_accuracy").tensor
            tensor.dtype, tensor.tensor_content = 1, struct.pack("<f", value)
            tensor.tensor_shape.dim.add(size=1)
            data = record.SerializeToString()
            out += struct.pack("<QI", len(data), 0) + data + b"\x00" * 4
        written(tmp_path, f"fit/{name}/events.out.tfevents.{i}.host.v2", out)
    (t,) = load([tmp_path])
    assert (t.metric, len(t)) == ("val/epoch_accuracy", 60)
    assert np.allclose(t.values_S, UP_AND_DOWN, atol=1e-6)


def test_arrays_of_numpy_and_arrow(tmp_path: Path) -> None:
    np.save(tmp_path / "rewards.npy", np.array(UP_AND_DOWN))
    (t,) = load([tmp_path / "rewards.npy"])
    assert t.values_S.tolist() == UP_AND_DOWN
    feather = pytest.importorskip("pyarrow.feather", reason="needs pyarrow (extra formats)")
    feather.write_feather(sys.modules["pyarrow"].table({"step": STEPS, "reward": UP_AND_DOWN}), tmp_path / "x.feather")
    (t,) = load([tmp_path / "x.feather"])
    assert t.values_S.tolist() == UP_AND_DOWN


def test_each_evaluation_of_a_checkpoint_has_its_own_number_of_samples(tmp_path: Path) -> None:
    for step, score in ((20, 0.5), (100, 0.25), (200, 0.125)):
        for name, n in (("mmlu", 400), ("gsm8k", 100)):
            written(tmp_path, f"step_{step}/{name}.json", json.dumps({"accuracy": score * n / 400, "n": n}))
    (t,) = load([tmp_path])
    assert (t.metric, list(t.others)) == ("gsm8k/accuracy", ["mmlu/accuracy"])
    assert t.standard_errors_S is not None
    assert t.standard_errors_S[0] == pytest.approx((0.125 * 0.875 / 100) ** 0.5, rel=0.02)
    assert t.others["mmlu/accuracy"].standard_errors_S[0] == pytest.approx(0.5 / 400**0.5, rel=0.02)
