"""Paths to runs: directories, several files of one run, files that are none."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.importers.load import load
from crestfall.core.errors import CrestfallWarning, InputError


def jsonl(path: Path, values: dict[int, float], key: str = "reward") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"step": s, key: v}) + "\n" for s, v in values.items()))
    return path


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load([tmp_path / "absent.jsonl"])


@pytest.mark.parametrize("content", [b"", b"\x00\xff\x00", b"hello\nworld\n", b"[1, 2]\n", b"{}\n"])
def test_unknown_content_gets_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "what.log"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"what\.log") as error:
        load([path])
    assert "\n" not in str(error.value)


def test_a_csv_without_steps_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("time,value\n1,2\n")
    with pytest.raises(InputError, match=r"x\.csv: no step column"):
        load([path])


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {0: 0.1, 1: 0.2})
    path.write_text(path.read_text() + "{oops\n" + '{"step": 3, "reward": 0.3}\n')
    with pytest.raises(InputError, match=r"x\.jsonl:3: "):
        load([path])


def test_a_metric_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", {0: 0.1})
    with pytest.raises(InputError, match="did you mean 'reward'"):
        load([path], metric="rewrad")


def test_no_known_metric_lists_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"step": 0, "foo": 1, "bar": 2}\n')
    with pytest.raises(InputError, match="--metric: foo, bar"):
        load([path])


def test_a_directory_holds_all_its_logs_and_passes_over_the_rest(tmp_path: Path) -> None:
    jsonl(tmp_path / "a" / "metrics.jsonl", {0: 0.1, 1: 0.2})
    jsonl(tmp_path / "b" / "metrics.jsonl", {0: 0.3, 1: 0.4})
    (tmp_path / "README.md").write_text("no log")
    assert [t.name for t in load([tmp_path])] == ["a", "b"]


def test_a_directory_says_what_it_left_out(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", {0: 0.1, 1: 0.2})
    jsonl(tmp_path / "b.jsonl", {0: 0.1}, key="unrelated/thing")
    (tmp_path / "b.jsonl").write_text('{"step": 0, "foo": 1, "bar": 2}\n')
    with pytest.warns(CrestfallWarning, match=r"b\.jsonl"):
        assert [t.name for t in load([tmp_path])] == ["a"]


def test_a_directory_without_any_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no log in this directory"):
        load([tmp_path])


def test_run_directories_inside_a_directory(tmp_path: Path) -> None:
    run = tmp_path / "r"
    run.mkdir()
    (run / "run.json").write_text('{"seed": 3, "method": "es"}')
    step = {"type": "step", "campaign": 0, "step": 0, "select": {"n": 4, "passed": [1, 2]}}
    (run / "events.jsonl").write_text(json.dumps(step) + "\n")
    (t,) = load([tmp_path])
    assert (t.name, t.metric, t.values_S.tolist()) == ("es/seed-3/c0", "pass_at_1", [0.375])


def test_a_run_without_steps_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="no step has been evaluated"):
        load([tmp_path])


def test_steps_out_of_order_are_sorted_and_a_restart_replaces(tmp_path: Path) -> None:
    (shuffled,) = load([jsonl(tmp_path / "s.jsonl", {3: 0.3, 1: 0.1, 2: 0.2})])
    assert shuffled.steps_S.tolist() == [1, 2, 3]
    assert shuffled.notes == ()
    path = tmp_path / "r.jsonl"
    rows = [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (1, 0.5), (2, 0.6)]
    path.write_text("".join(json.dumps({"step": s, "reward": v}) + "\n" for s, v in rows))
    (restarted,) = load([path])
    assert dict(zip(restarted.steps_S.tolist(), restarted.values_S.tolist(), strict=True)) == {0: 0.0, 1: 0.5, 2: 0.6}
    assert restarted.notes == ("1 restarts: 3 points written before them were replaced",)


def test_checkpoint_directories(tmp_path: Path) -> None:
    for step, score in ((20, 0.5), (100, 0.25)):
        path = tmp_path / "run" / f"step_{step}" / "gsm8k" / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"tasks": [{"alias": "gsm8k", "metrics": {"primary_score": score}}]}))
    (t,) = load([tmp_path / "run"])
    assert (t.name, t.metric, t.steps_S.tolist()) == ("run/gsm8k", "gsm8k primary_score", [20, 100])
    assert t.standard_errors_S is None


# --- TensorBoard ----------------------------------------------------------------------------------------------------


def event_file(path: Path, scalars: list[tuple[float, int, str, float]]) -> Path:
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2", reason="needs tensorboard (extra trackers)")
    records = b""
    for wall_time, step, tag, value in scalars:
        event = event_pb2.Event(wall_time=wall_time, step=step)
        event.summary.value.add(tag=tag, simple_value=value)
        data = event.SerializeToString()
        records += struct.pack("<Q", len(data)) + b"crc." + data + b"crc."
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(records)
    return path


def test_the_folder_that_add_hparams_writes_is_no_run(tmp_path: Path) -> None:
    event_file(tmp_path / "events.out.tfevents.1.a", [(1.0 + s, s, "reward/overall", 0.5) for s in range(9)])
    session = [(1.0, 0, "_hparams_/session_start_info", 0.0), (1.0, 0, "placeholder", 0.0)]
    event_file(tmp_path / "1795767516.2" / "events.out.tfevents.2.a", session)
    (t,) = load([tmp_path])
    assert (t.metric, len(t)) == ("reward/overall", 9)


def test_event_files_of_a_restarted_run_are_one_run(tmp_path: Path) -> None:
    late = event_file(
        tmp_path / "tb" / "events.out.tfevents.2.a", [(20.0 + s, s, "train/reward", 0.5) for s in (2, 3, 4)]
    )
    early = event_file(
        tmp_path / "tb" / "events.out.tfevents.9.z", [(10.0 + s, s, "train/reward", 0.25) for s in range(4)]
    )
    for paths in ([late, early], [tmp_path / "tb"]):
        (t,) = load(paths)
        assert t.steps_S.tolist() == [0, 1, 2, 3, 4]
        assert t.values_S.tolist() == [0.25, 0.25, 0.5, 0.5, 0.5]
        assert "1 restarts" in " ".join(t.notes)


def test_a_torn_event_file_keeps_what_is_whole(tmp_path: Path) -> None:
    path = event_file(tmp_path / "events.out.tfevents.1.a", [(1.0, s, "reward", 0.5) for s in range(5)])
    path.write_bytes(path.read_bytes()[:-7])
    (t,) = load([path])
    assert t.steps_S.tolist() == [0, 1, 2, 3]


def test_scalars_written_as_tensors(tmp_path: Path) -> None:
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2", reason="needs tensorboard (extra trackers)")
    event = event_pb2.Event(wall_time=1.0, step=7)
    value = event.summary.value.add(tag="eval/accuracy")
    value.tensor.dtype = 1
    value.tensor.float_val.append(0.5)
    data = event.SerializeToString()
    path = tmp_path / "events.out.tfevents.1.a"
    path.write_bytes(struct.pack("<Q", len(data)) + b"crc." + data + b"crc.")
    (t,) = load([path])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == ([7], [0.5])


def test_a_hundred_thousand_steps(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(100_000)
    path = tmp_path / "long.csv"
    path.write_text("step,reward\n" + "".join(f"{s},{v}\n" for s, v in enumerate(values)))
    (t,) = load([path])
    assert len(t) == 100_000


def test_rows_in_no_order_are_one_run(tmp_path: Path) -> None:
    steps = [(17 * i) % 40 for i in range(40)]
    (run,) = load([jsonl(tmp_path / "s.jsonl", {step: step / 40 for step in steps})])
    assert run.steps_S.tolist() == list(range(40))
    (latest_first,) = load([jsonl(tmp_path / "d.jsonl", {step: step / 40 for step in reversed(range(40))})])
    assert latest_first.steps_S.tolist() == list(range(40))


@pytest.mark.parametrize("key", ["loss", "eval_loss", "eval/perplexity", "eval/error_rate", "wer"])
def test_a_lone_loss_is_no_score(tmp_path: Path, key: str) -> None:
    path = jsonl(tmp_path / "l.jsonl", {step: 1 / (1 + step) for step in range(20)}, key=key)
    with pytest.raises(InputError, match="the one metric, are better"):
        load([path])
    (asked,) = load([path], metric=key)
    assert any("taken as better" in note for note in asked.notes)


def test_a_directory_says_each_reason_once(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", {0: 0.1, 1: 0.2})
    (tmp_path / "b.json").write_text(json.dumps([{"name": n, "foo": {"bar": 1, "baz": i}} for i, n in enumerate("xy")]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load([tmp_path])
    reasons = [str(w.message) for w in caught]
    assert len(reasons) == len(set(reasons))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_that_was_appended_to_has_its_header_twice(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(2 * ["step,reward", *(f"{i},{i / 40}" for i in range(40))]).encode())
    assert [t.steps_S.tolist() for t in load([path])] == 2 * [list(range(40))]


def test_an_evaluation_before_training_may_be_step_minus_one(tmp_path: Path) -> None:
    (run,) = load([jsonl(tmp_path / "s.jsonl", dict.fromkeys(range(-1, 5), 0.1))])
    assert run.steps_S.tolist() == list(range(-1, 5))
    assert not run.notes
