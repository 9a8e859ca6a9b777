"""More of what people's logs look like: other languages, steps in names, wrapped lines, sampled text in between."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.analyze import analyze
from crestfall.analysis.importers.load import load
from crestfall.core.errors import InputError
from curves import HELD, POINTS, UP_AND_DOWN, both, lines, table, written


def comma(text: str) -> str:
    return text.replace(".", ",")


# name -> (what a step prints, metric, first step, last step)
CONSOLES: dict[str, tuple[Callable[[int, float], str], str, int, int]] = {
    "Chinese columns": (
        lambda s, v: f"回合 {s * 1000:5d} | 成功率: {v * 100:5.2f}% | 平均长度: 512 | ε: 0.368\n",
        "success rate",
        1000,
        60_000,
    ),
    "Chinese epochs": (
        lambda s, v: f"第{s}轮，训练损失：0.60, 校验损失：0.66, 校验准确率: {v}\n",
        "val accuracy",
        1,
        60,
    ),
    "Chinese steps": (lambda s, v: f"[10:00] 第 {s} 步：奖励 = {v}，损失 = 0.01，熵 = 0.4\n", "reward", 1, 60),
    "Chinese blocks": (
        lambda s, v: f"📊 Epoch {s} 完成:\n   平均奖励: {v}\n   平均损失: 0.352\n",
        "mean reward",
        1,
        60,
    ),
    "Japanese": (lambda s, v: f"エピソード {s}: 平均報酬 = {v}, 損失 = 0.12\n", "mean reward", 1, 60),
    "Korean": (lambda s, v: f"에피소드: {s} | 평균 보상: {v} | 손실: 0.12\n", "mean reward", 1, 60),
    "Russian": (lambda s, v: f"Эпизод {s}: средняя награда {v}, потери 0.12\n", "mean reward", 1, 60),
    "French, decimal commas": (
        lambda s, v: comma(f"Étape {s}/60 - récompense moyenne : {v} - perte : 0.12\n"),
        "reward mean",
        1,
        60,
    ),
    "German, decimal commas": (lambda s, v: comma(f"Schritt {s}: Belohnung = {v}; Verlust = 0.1\n"), "reward", 1, 60),
    "epoch_3": (lambda s, v: f"epoch_{s}: acc={v} loss=0.1\n", "acc", 1, 60),
    "absl": (
        lambda s, v: f"I0601 10:00:00.123456 140123 train.py:88] [{s}] eval_return = {v}, loss = 0.1\n",
        "eval_return",
        1,
        60,
    ),
    "thousands in brackets": (
        lambda s, v: f"[{s}k] train_return {v} / length 200 / fps 120\n",
        "train_return",
        1000,
        60_000,
    ),
    "thousands of thousands": (lambda s, v: f"Step {s / 2:.1f}k/30k, reward {v}\n", "reward", 500, 30_000),
    "minimind": (
        lambda s, v: f"Epoch:[1/1]({s * 10}/600), Actor Loss: 0.012, Reward: {v}, KL: 0.01, LR: 0.000001\n",
        "Reward",
        10,
        600,
    ),
    "ML-Agents": (
        lambda s, v: (
            f"[INFO] Ball. Step: {s * 500}. Time Elapsed: 4.6 s. Mean Reward: {v}. Std of Reward: 0.6. Training.\n"
        ),
        "Mean Reward",
        500,
        30_000,
    ),
    "a2c-ppo-acktr": (
        lambda s, v: (
            f"Updates {s}, num timesteps {s * 2048}, FPS 12\n Last 10: mean/median reward {v}/{v}, min/max reward 0/1\n"
        ),
        "mean/median reward",
        1,
        60,
    ),
    "checkpoints that are evaluated": (
        lambda s, v: (
            f"Evaluating out/7b/global_step_{s * 10} ...\nLoading: 100%|█| 2/2 [00:00<00:00, 8.6it/s]\nAccuracy: {v}\n"
        ),
        "eval/Accuracy",
        10,
        600,
    ),
    "a bar of the training around one of evaluations": (
        lambda s, v: (
            "".join(f"\rEval: {i * 25}%|█| {i}/4 [00:01<00:03, 1.0it/s]" for i in range(5))
            + f"\rTraining: 9%|█| {s * 10}/600 [01:00<10:00, 12.0s/it]\n{{'eval_acc': {v}}}\n"
        ),
        "eval_acc",
        10,
        600,
    ),
    "trlx": (
        lambda s, v: (
            f"[losses/total_loss: 0.1]:  9%|█| {s * 10}/600 [00:10<10:00, 1.0s/it]\n Evaluation #{s} reward/mean: {v}\n"
        ),
        "eval/reward/mean",
        10,
        600,
    ),
    "verl with the samples that it prints": (
        lambda s, v: (
            f"[prompt] Solve it\n[response] Step 1: x = 5\nStep 2: reward: 7, answer = {s % 9}\n[score] 1.0\n"
            f"(TaskRunner pid=9) step:{s} - critic/score/mean:{v} - actor/entropy:0.3\n"
        ),
        "critic/score/mean",
        1,
        60,
    ),
    "JSON over several lines": (
        lambda s, v: json.dumps({"step": s, "reward": v, "kl": 0.1}, indent=2) + "\n",
        "reward",
        1,
        60,
    ),
    "a dict over several lines": (
        lambda s, v: f"{{'critic/score/mean': {v},\n 'kl': 0.1,\n 'step': {s}}}\n",
        "critic/score/mean",
        1,
        60,
    ),
    "Docker's JSON": (
        lambda s, v: json.dumps({"log": f"{{'reward': {v}, 'step': {s}}}\n", "stream": "stdout"}) + "\n",
        "reward",
        1,
        60,
    ),
    "messages in JSON": (
        lambda s, v: json.dumps({"levelname": "INFO", "message": f"step {s} | reward {v} | kl 0.01"}) + "\n",
        "reward",
        1,
        60,
    ),
    "LaTeX": (
        lambda s, v: ("Step & Reward & KL \\\\\n\\midrule\n" if s == 1 else "") + f"{s} & {v} & 0.1 \\\\\n",
        "Reward",
        1,
        60,
    ),
}


@pytest.mark.parametrize("name", CONSOLES)
def test_consoles(name: str, tmp_path: Path) -> None:
    write, metric, first, last = CONSOLES[name]
    (t,) = load([written(tmp_path, "x.log", lines(write))])
    assert (t.metric, t.steps_S[0], t.steps_S[-1], len(t)) == (metric, first, last, 60), t.notes
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=1e-4)


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".csv", text)
    return out.getvalue()


def tarred(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


CSV = table("step,reward", lambda s, v: f"{s},{v}")
# name -> (file, content, first step, last step)
FILES: dict[str, tuple[str, str | bytes, int, int]] = {
    "Chinese CSV": ("x.csv", table("步数,奖励,损失", lambda s, v: f"{s},{v},0.1"), 1, 60),
    "Chinese CSV in its own encoding": ("x.csv", table("步数,奖励", lambda s, v: f"{s},{v}").encode("gbk"), 1, 60),
    "Chinese keys": ("x.jsonl", lines(lambda s, v: json.dumps({"轮次": s, "平均奖励": v}) + "\n").encode(), 1, 60),
    "German CSV": ("x.csv", table("Schritt;Belohnung;Verlust", lambda s, v: comma(f"{s};{v};0.1")), 1, 60),
    "checkpoints as keys": ("x.json", json.dumps({f"epoch_{s}": {"accuracy": v} for s, v in POINTS}), 1, 60),
    "checkpoints and scores": ("x.json", json.dumps({f"checkpoint-{10 * s}": v for s, v in POINTS}), 10, 600),
    "paths to checkpoints": (
        "x.csv",
        table("checkpoint,accuracy", lambda s, v: f"/data/7b-step2/global_step_{s * 10}/actor,{v}"),
        10,
        600,
    ),
    "models that are checkpoints": (
        "x.csv",
        table("model,gsm8k", lambda s, v: f"out/checkpoint-{s * 10},{v}"),
        10,
        600,
    ),
    "a column per checkpoint": (
        "x.csv",
        f"dataset,mode,{','.join(f'ckpt-{s * 10}' for s, _ in POINTS)}\ngsm8k,gen,{','.join(map(str, UP_AND_DOWN))}\n",
        10,
        600,
    ),
    "a metric after the other": (
        "x.json",
        json.dumps(
            [{"key": "reward", "value": v, "step": s} for s, v in POINTS]
            + [{"key": "loss", "value": 0.1, "step": s} for s, _ in POINTS]
        ),
        1,
        60,
    ),
    "Aim's contexts": (
        "x.csv",
        table(
            "run.hash,metric.name,metric.context.subset,step,value",
            lambda s, v: f"a1,accuracy,train,{s},0.9\na1,accuracy,val,{s},{v}",
        ),
        1,
        60,
    ),
    "a benchmark a row": (
        "x.csv",
        table("step,benchmark,score", lambda s, v: f"{s},aime24,{v}\n{s},mmlu,0.6"),
        1,
        60,
    ),
    "minus signs of typesetters": (
        "x.md",
        table("| iter | reward |\n|---|---|", lambda s, v: f"| {s} | {v - 1:.4f} |".replace("-", "−")),
        1,
        60,
    ),
    "zip": ("x.zip", zipped(x=CSV), 1, 60),
    "tar.gz": ("x.tar.gz", tarred("logs/x.csv", CSV), 1, 60),
    "zeros of a truncated log": (
        "x.log",
        b"\x00" * 70_000 + lines(lambda s, v: f"step {s} reward {v}\n").encode(),
        1,
        60,
    ),
    "zeros of a crash": ("x.log", lines(lambda s, v: f"step {s} reward {v}\n").encode() + b"\x00" * 99, 1, 60),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path) -> None:
    file, content, first, last = FILES[name]
    (t,) = load([written(tmp_path, file, content)])
    assert (t.steps_S[0], t.steps_S[-1], len(t)) == (first, last, 60), (t.metric, t.notes)
    expected = np.array(UP_AND_DOWN) - ("typesetters" in name)
    assert t.values_S == pytest.approx(expected, abs=1e-4)


def test_zstd(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.ZstdCompressor().compress(CSV.encode())
    (t,) = load([written(tmp_path, "x.csv.zst", packed)])
    assert (t.name, t.values_S.tolist()) == ("x", UP_AND_DOWN)


def test_an_archive_of_runs_names_its_files(tmp_path: Path) -> None:
    held = "step,reward\n" + "".join(f"{s},{v}\n" for (s, _), v in zip(POINTS, HELD, strict=True))
    path = written(tmp_path, "x.zip", zipped(a__metrics=CSV, b__metrics=held))
    a, b = load([path])
    assert (a.name, b.name, a.source) == ("a", "b", path / "a/metrics.csv")
    assert [analyze(t).classification.label for t in (a, b)] == ["rise_and_collapse", "rise"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_flipped_byte_in_an_archive_is_one_line(method: int, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("a.csv", CSV)
    content = bytearray(out.getvalue())
    content[60] ^= 255
    with pytest.raises(InputError, match=r"x\.zip: the archive cannot be unpacked: "):
        load([written(tmp_path, "x.zip", bytes(content))])


@pytest.mark.parametrize(
    "content",
    [zipped(), zipped(x=CSV)[:200], tarred("x.csv", CSV)[:60], b"PK\x03\x04"],
    ids=["empty", "cut zip", "cut tar.gz", "head alone"],  # a gzip holds the time, and workers must agree on names
)
def test_a_damaged_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, "x.tar.gz" if content[:1] == b"\x1f" else "x.zip", content)
    with pytest.raises(InputError, match=str(path)):
        load([path])


def test_an_archive_writes_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.tar\.gz"):
        load([written(tmp_path, "x.tar.gz", tarred("../../escaped.csv", CSV))])
    assert not list(tmp_path.rglob("escaped.csv"))


def test_several_evaluations_of_a_checkpoint_are_several(tmp_path: Path) -> None:
    for s, v in POINTS:
        for name, score in (("aime24", v), ("aime25", 0.9)):
            written(
                tmp_path, f"ev/global_step_{s}/{name}/x_metrics.json", json.dumps({"acc": score, "num_samples": 30})
            )
    (t,) = load([tmp_path / "ev"])
    assert (t.metric, t.values_S.tolist(), list(t.others)) == ("aime24/acc", UP_AND_DOWN, ["aime25/acc"])


def test_graded_samples_of_each_checkpoint_are_averaged(tmp_path: Path) -> None:
    for s, v in POINTS:
        rows = "".join(
            json.dumps({"task_id": f"HumanEval/{i}", "passed": i < round(164 * v)}) + "\n" for i in range(164)
        )
        written(tmp_path, f"ev/checkpoint-{s}/results.jsonl", rows)
    (t,) = load([tmp_path / "ev"])
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=0.004)
    assert t.standard_errors_S is not None


def test_a_table_of_runs_is_no_curve(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no step column"):
        load([written(tmp_path, "x.csv", table("Name,State,reward", lambda s, v: f"owl-{s},finished,{v}"))])


def test_pods_are_runs(tmp_path: Path) -> None:
    runs = load([written(tmp_path, "x.log", both(lambda s, v, run: f"[pod/{run}-0/main] step {s} reward={v}\n"))])
    assert [len(t) for t in runs] == [60, 60]


def step_line(s: int, v: float) -> str:
    return f"step {s} reward {v}\n"


def test_a_file_per_process_is_one_run(tmp_path: Path) -> None:
    for rank in range(4):
        shifted = [v + 0.01 * rank - 0.015 for v in UP_AND_DOWN]
        written(tmp_path, f"run/rank_{rank}/metrics.csv", CSV.replace("reward", f"reward,rank{rank}"))
        written(tmp_path, f"logs/log_rank{rank}.txt", lines(step_line, shifted))
    (t,) = load([tmp_path / "run"])
    assert (t.name, len(t), t.values_S.tolist()) == ("run", 60, UP_AND_DOWN)
    (averaged,) = load([tmp_path / "logs"])
    assert averaged.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=1e-9)
    assert "4 processes of one run" in " ".join(averaged.notes)


def test_files_that_go_on_with_each_other_are_one_run(tmp_path: Path) -> None:
    whole = lines(step_line).splitlines(keepends=True)
    for name, part in (("train.log.2", whole[:20]), ("train.log.1", whole[20:40]), ("train.log", whole[40:])):
        written(tmp_path, f"rotated/{name}", "".join(part))
    written(tmp_path, "jobs/slurm-100.out", "".join(whole[:35]))
    written(tmp_path, "jobs/slurm-101.out", "".join(whole[30:]))
    for folder in ("rotated", "jobs"):
        (t,) = load([tmp_path / folder])
        assert t.values_S.tolist() == UP_AND_DOWN, folder
    for seed, values in enumerate((UP_AND_DOWN, HELD)):
        written(tmp_path, f"seeds/run-{seed}.log", lines(step_line, values))
    assert len(load([tmp_path / "seeds"])) == 2


def test_training_and_evaluations_in_two_files_are_one_run(tmp_path: Path) -> None:
    written(tmp_path, "owl/train.csv", table("step,episode_reward", lambda s, v: f"{s},0.9"))
    written(tmp_path, "owl/eval.csv", table("step,episode_reward", lambda s, v: f"{s},{v}"))
    (t,) = load([tmp_path / "owl"])
    assert (t.name, t.metric, list(t.others)) == ("owl", "eval/episode_reward", ["train/episode_reward"])
    both_kinds = {
        "train": [{"step": s, "reward": 0.9} for s, _ in POINTS],
        "eval": [{"step": s, "acc": v} for s, v in POINTS],
    }
    (t,) = load([written(tmp_path, "x.json", json.dumps(both_kinds))])
    assert (t.metric, t.values_S.tolist()) == ("eval/acc", UP_AND_DOWN)


@pytest.mark.parametrize(
    "write", ["task_id,passed\n{rows}", "Loading\nAccuracy: {share}\n", "prompt,completion,reward\n{texts}"]
)
def test_tables_and_texts_of_each_checkpoint(write: str, tmp_path: Path) -> None:
    for s, v in POINTS:
        passed = [i < round(100 * v) for i in range(100)]
        text = write.format(
            rows="".join(f"{i},{p}\n" for i, p in enumerate(passed)),
            texts="".join(f"p,c,{float(p)}\n" for p in passed),
            share=round(100 * v) / 100,
        )
        suffix = "txt" if text.startswith("Load") else "csv"
        name = f"completions_{s:05d}" if text.startswith("prompt") else f"step_{s}"
        written(tmp_path, f"evals/{name}.{suffix}", text)
    (t,) = load([tmp_path / "evals"])
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=0.006)


def test_a_log_in_a_folder_called_after_a_checkpoint_is_a_log(tmp_path: Path) -> None:
    for name in ("epoch_3_sft", "checkpoint-20"):
        (t,) = load([written(tmp_path, f"{name}/x.log", lines(lambda s, v: f"epoch_{s}: acc={v} loss=0.1\n"))])
        assert len(t) == 60, name
