"""Columns that are runs and columns that are not, lists of lists, lines between rows, and refusals with advice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.importers.load import load
from crestfall.core.errors import InputError
from curves import HELD, POINTS, STEPS, UP_AND_DOWN, lines, table, written


def two(first: str, second: str) -> str:
    rows = "".join(f"{s},{a},{b}\n" for s, a, b in zip(STEPS, UP_AND_DOWN, HELD, strict=True))
    return f"step,{first},{second}\n{rows}"


@pytest.mark.parametrize(
    ("first", "second", "names", "metric"),
    [
        ("grpo_accuracy", "ppo_accuracy", ["grpo", "ppo"], "accuracy"),
        ("reward_grpo", "reward_dapo", ["grpo", "dapo"], "reward"),
        ("GRPO-clip/eval_acc", "PPO/eval_acc", ["GRPO-clip", "PPO"], "eval_acc"),
        ("run1/reward", "run2/reward", ["run1", "run2"], "reward"),
        ("acc_1.5B", "acc_7B", ["1.5B", "7B"], "acc"),
        ("reward (lr=1e-6)", "reward (lr=1e-5)", ["lr=1e-6", "lr=1e-5"], "reward"),
        ("ours", "baseline", ["ours", "baseline"], "value"),
        ("Seed 1", "Seed 2", ["Seed 1", "Seed 2"], "value"),
    ],
)
def test_columns_named_after_methods_seeds_sizes_and_settings_are_runs(
    first: str, second: str, names: list[str], metric: str, tmp_path: Path
) -> None:
    runs = load([written(tmp_path, "x.csv", two(first, second))])
    assert [(t.name, t.metric) for t in runs] == [(name, metric) for name in names]
    assert [t.values_S.tolist() for t in runs] == [UP_AND_DOWN, HELD]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("gsm8k_accuracy", "math_accuracy"),
        ("train_accuracy", "val_accuracy"),
        ("format_reward", "accuracy_reward"),
        ("reward", "baseline_reward"),
        ("pass@1", "pass@8"),
        ("reward", "ppo_kl"),
    ],
)
def test_benchmarks_parts_and_splits_are_columns_of_one_run(first: str, second: str, tmp_path: Path) -> None:
    assert len(load([written(tmp_path, "x.csv", two(first, second))])) == 1


def by_step(row: str) -> str:
    """A row for each step, from a template with s, a (up and down) and b (held)."""
    return "".join(row.format(s=s, a=a, b=b) for s, a, b in zip(STEPS, UP_AND_DOWN, HELD, strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.csv", "step,sft_reward,ppo_reward,kl\n" + by_step("{s},{b},{a},0.{s}\n")),
        ("x.jsonl", by_step('{{"step": {s}, "sft_reward": {b}, "ppo_reward": {a}, "loss": 0.{s}}}\n')),
        ("x.log", by_step("step {s}: sft_reward={b} ppo_reward={a} loss=0.{s}\n")),
        ("x.csv", "step,sft_reward,ppo_reward\n" + by_step("{s},0.4,{a}\n")),
        ("x.csv", "step,eval/temp=0.6/acc,eval/temp=1.0/acc,train_loss\n" + by_step("{s},{a},{b},0.{s}\n")),
    ],
)
def test_columns_of_methods_beside_a_training_or_a_constant_line_are_metrics_of_one_run(
    name: str, text: str, tmp_path: Path
) -> None:
    (t,) = load([written(tmp_path, name, text)])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)


def test_stages_one_after_the_other_are_of_one_run(tmp_path: Path) -> None:
    stages = "".join(f"{s},{v},\n" if s < 30 else f"{s},,{v}\n" for s, v in POINTS)
    (t,) = load([written(tmp_path, "x.csv", "step,sft_reward,ppo_reward\n" + stages)])
    assert (t.metric, len(t), list(t.others)) == ("ppo_reward", 31, ["sft_reward"])


@pytest.mark.parametrize(
    "text",
    [
        "step,sft_reward,ppo_reward\n" + by_step("{s},{a},{b}\n"),
        "step,acc_seed0,acc_seed1,acc_mean,acc_std,n\n" + by_step("{s},{a},{b},0.{s},0.1{s},6{s}\n"),
        "step,acc_seed0,acc_seed1\n" + by_step("{s},0,{b}\n"),
        "step,sft_reward,sft_loss,ppo_reward,ppo_loss,lr\n" + by_step("{s},{a},0.{s},{b},1.{s},0.{s}\n"),
    ],
)
def test_columns_of_methods_and_seeds_alone_with_their_mean_or_their_own_losses_are_runs(
    text: str, tmp_path: Path
) -> None:
    assert len(load([written(tmp_path, "x.csv", text)])) == 2


def test_a_metric_may_be_asked_for_by_the_name_of_its_column(tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.csv", two("sft_reward", "ppo_reward"))], metric="ppo_reward")
    assert (t.name, t.metric, t.values_S.tolist()) == ("ppo", "reward", HELD)


def test_what_no_run_is_named_in_belongs_to_all(tmp_path: Path) -> None:
    rows = "".join(f"{s},{v},0.1,{v},0.2,{s / 60:.3f}\n" for s, v in POINTS)
    path = written(tmp_path, "x.csv", "step,a1_reward,a1_kl,b1_reward,b1_kl,entropy\n".replace("a1", "grpo") + rows)
    path.write_text(path.read_text().replace("b1", "ppo"))
    runs = load([path])
    assert [(t.metric, sorted(t.signals)) for t in runs] == [("reward", ["entropy", "kl_base"])] * 2


@pytest.mark.parametrize(
    "rows",
    [
        [[1.7e9 + s, s, v] for s, v in POINTS],  # TensorBoard's download
        [[s, v] for s, v in POINTS],
        [["step", "value"], *([s, v] for s, v in POINTS)],
    ],
)
def test_lists_of_lists_are_tables(rows: list[list[object]], tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.json", json.dumps(rows))])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)


def test_other_output_between_json_lines_is_left_out_and_a_damaged_row_is_refused(tmp_path: Path) -> None:
    rows = [json.dumps({"step": s, "data": {"reward": v}}) + "\n" for s, v in POINTS]
    torn = rows[29][:20]
    mixed = ["WARNING: slow\n", *rows[:29], torn + rows[29], *rows[30:]]
    (t,) = load([written(tmp_path, "x.jsonl", "".join(mixed))])
    assert t.values_S.tolist() == UP_AND_DOWN
    assert "2 lines, the first is line 1, hold no row: left out" in t.notes
    with pytest.raises(InputError, match=r"x\.jsonl:30: not JSON"):
        load([written(tmp_path, "x.jsonl", "".join([*rows[:29], torn + "\n", *rows[29:]]))])


def test_counters_of_training_and_evaluation_with_one_name_count_together(tmp_path: Path) -> None:
    rows = [{"train/global_step": s, "train/reward": 0.5} for s in STEPS]
    rows += [{"eval/global_step": s, "eval/pass1": v} for s, v in POINTS]
    (t,) = load([written(tmp_path, "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))])
    assert (t.metric, t.steps_S.tolist()) == ("eval/pass1", STEPS)


def test_a_reward_comes_before_a_return(tmp_path: Path) -> None:
    text = lines(lambda s, v: f"Train epoch [1/1]:  9%|#  | {s}/60 [01:02<02:10, 1.3s/it, pg=-0.01, rm={v}, ret=0.1]\n")
    (t,) = load([written(tmp_path, "x.log", text)])
    assert (t.metric, t.steps_S.tolist()) == ("rm", STEPS)


@pytest.mark.parametrize("mark", ["[{s}k steps] eval acc: {v}\n", "After {s}000 updates: eval acc = {v}\n"])
def test_a_number_before_the_word_counts(mark: str, tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.log", lines(lambda s, v: mark.format(s=s, v=v)))])
    assert t.steps_S.tolist() == [1000 * s for s in STEPS]


def printed(head: str, row: str, gap: str = "") -> str:
    rows = [row.format(i=i, s=s, v=v) for i, (s, v) in enumerate(POINTS)]
    return head + "".join([*rows[:30], gap, *rows[30:]])


POLARS = "│ step ┆ reward │\n│ ---  ┆ ---    │\n│ i64  ┆ f64    │\n╞══════╪════════╡\n"


@pytest.mark.parametrize(
    "text",
    [
        printed("    step  reward    kl\n", "{i:<3d} {s:5d} {v:7.4f} 0.123\n", "..    ...     ...   ...\n"),
        printed(POLARS, "│ {s:<4d} ┆ {v:<6.4f} │\n", "│ …    ┆ …      │\n"),
        "step," + ",".join(map(str, STEPS)) + "\nreward," + ",".join(map(str, UP_AND_DOWN)) + "\n",
    ],
)
def test_tables_as_pandas_and_polars_print_them_and_turned_ones(text: str, tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.csv" if text.startswith("step,") else "x.txt", text)])
    assert (t.metric, t.steps_S.tolist(), t.values_S.tolist()) == ("reward", STEPS, UP_AND_DOWN)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("x.xlsx", "this is a spreadsheet; save the sheet"),
        ("x.pkl", "does not open, since that runs code; load it yourself"),
        ("x.xml", r"\(JSONL\), or CSV"),
        ("x.toml", r"\(JSONL\), or CSV"),
        ("x.h5", "export a table with a step column"),
        ("x.png", "export the numbers behind it as CSV"),
    ],
)
def test_files_that_no_importer_reads_are_refused_with_a_way_to_export(name: str, advice: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, "<row><step>1</step><reward>0.5</reward></row>\n" * 9)
    for asked in (path, tmp_path):
        with pytest.raises(InputError, match=rf"{name}: .*{advice}") as error:
            load([asked])
        assert "\n" not in str(error.value)
    written(tmp_path, "log.csv", table("step,reward", lambda s, v: f"{s},{v}"))
    assert len(load([tmp_path])) == 1


def test_names_of_checkpoints_without_a_number(tmp_path: Path) -> None:
    rows = "base,0.1\n" + "".join(f"checkpoint-{s},{v}\n" for s, v in POINTS) + "final,0.2\n"
    (t,) = load([written(tmp_path, "x.csv", f"checkpoint,acc\n{rows}")])
    assert t.steps_S.tolist() == [0, *STEPS]
    assert "1 rows without checkpoint were left out" in t.notes
    (t,) = load([written(tmp_path, "x.tsv", "".join(f"step_{s}\t{v}\n" for s, v in POINTS))])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)


def test_graded_samples_with_an_id_are_samples(tmp_path: Path) -> None:
    rows = "".join(f"{s},{i},{int(i < 40 * v)}\n" for s, v in POINTS for i in range(40))
    (t,) = load([written(tmp_path, "x.csv", f"step,id,correct\n{rows}")])
    assert t.values_S == pytest.approx(np.array(UP_AND_DOWN), abs=0.03)
    (t, other) = load(
        [written(tmp_path, "y.csv", "step,id,reward\n" + "".join(f"{s},{i},{v}\n" for i in (1, 2) for s, v in POINTS))]
    )
    assert len(t) == len(other) == 60


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", json.dumps({"steps": STEPS, "metrics": {"reward": UP_AND_DOWN, "kl": HELD}})),
        ("x.jsonl", '["step", "reward"]\n' + "".join(f"[{s}, {v}]\n" for s, v in POINTS)),
        ("x.log", "".join(json.dumps({"step": s, "train": {"reward": v}}, indent=1) + "\n" for s, v in POINTS)),
        ("x.log", "Starting iteration {s}\nAverage return per training episode: {v}\n"),
        ("x.log", "[{s:02d}:00] reward {v}\n"),
        ("x.log", "checkpoint-{s}: aime24 {v}\n"),
    ],
)
def test_lines_and_documents(name: str, text: str, tmp_path: Path) -> None:
    text = lines(lambda s, v: text.format(s=s, v=v)) if "{v}" in text else text
    (t,) = load([written(tmp_path, name, text)])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)


def test_evaluations_numbered_by_step_are_checkpoints(tmp_path: Path) -> None:
    for s, v in POINTS:
        written(tmp_path, f"evals/eval_{s:05d}.json", json.dumps({"gsm8k": {"acc": v}, "math": {"acc": 0.5}}))
    (t,) = load([tmp_path / "evals"])
    assert (t.metric, t.steps_S.tolist()) == ("gsm8k/acc", STEPS)


def test_thousands_have_commas(tmp_path: Path) -> None:
    (t,) = load([written(tmp_path, "x.log", lines(lambda s, v: f"step {s * 50:,} | reward {v * 1e4:,.1f}\n"))])
    assert (t.steps_S[-1], t.values_S[-1]) == (3000, pytest.approx(UP_AND_DOWN[-1] * 1e4))


def test_a_resumed_run_without_steps_counts_on_from_its_epoch(tmp_path: Path) -> None:
    rows = lines(lambda s, v: f"{{'reward': {v}, 'epoch': {s / 60:.3f}}}\n").splitlines(keepends=True)
    (t,) = load([written(tmp_path, "x.log", "".join([*rows[:40], "CUDA out of memory\n", *rows[30:]]))])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)


def test_jobs_that_log_into_folders_of_their_own_are_one_run(tmp_path: Path) -> None:
    for job, (first, last) in enumerate([(1, 25), (21, 45), (40, 60)]):
        rows = "".join(json.dumps({"step": s, "reward": v}) + "\n" for s, v in POINTS[first - 1 : last])
        written(tmp_path, f"run_2026050{job}/metrics.jsonl", rows)
    (t,) = load([tmp_path])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)
    assert "3 files of one run, each goes on with the one before it" in t.notes


def test_a_job_that_may_go_on_with_two_runs_in_other_folders_is_one_of_its_own(tmp_path: Path) -> None:
    for name, (first, last) in {"seed_1": (1, 40), "seed_2": (1, 40), "seed_3": (35, 60)}.items():
        rows = "".join(f"{s},{v}\n" for s, v in POINTS[first - 1 : last])
        written(tmp_path, f"{name}/progress.csv", "step,reward\n" + rows.replace("0.", f"0.{name[-1]}"))
    assert len(load([tmp_path])) == 3


def test_decimal_commas_before_a_comma(tmp_path: Path) -> None:
    text = lines(lambda s, v: f"step {s}: reward = {v}, kl = 0.1\n".replace(".", ","))
    (t,) = load([written(tmp_path, "x.log", text)])
    assert t.values_S.tolist() == UP_AND_DOWN


def test_aims_store_is_refused_with_what_to_give(tmp_path: Path) -> None:
    written(tmp_path, ".aim/meta/chunks/abc/CURRENT", "MANIFEST-000001\n")
    written(tmp_path, ".aim/run_metadata.sqlite", b"SQLite format 3\x00" + b"\x00" * 100)
    for path in (tmp_path, tmp_path / ".aim"):
        with pytest.raises(InputError, match=r"\.aim: this is Aim's own store; export its metrics as CSV"):
            load([path])
    written(tmp_path, "log.csv", table("step,reward", lambda s, v: f"{s},{v}"))
    assert len(load([tmp_path])) == 1
