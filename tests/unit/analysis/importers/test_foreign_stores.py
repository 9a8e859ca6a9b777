"""Stores of other tools: W&B's local files and its API, TensorBoard folders with several runs, streams, mistakes."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crestfall.analysis.importers.load import load
from crestfall.analysis.importers.wandb_online import read_online
from crestfall.cli.main import main
from crestfall.core.errors import InputError

CURVE = {step: round(0.3 + 0.01 * step, 3) for step in range(1, 21)}


def test_a_wandb_file(tmp_path: Path) -> None:
    pb = pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="needs wandb (extra trackers)")
    records = [pb.Record(run=pb.RunRecord(run_id="abc", display_name="brisk-sun"))]
    for step, value in CURVE.items():
        record = pb.Record()
        record.history.step.num = step
        record.history.item.add(key="train/reward", value_json=json.dumps(value))
        record.history.item.add(nested_key=["eval", "accuracy"], value_json=json.dumps(value / 2))
        record.history.item.add(key="note", value_json=json.dumps("x" * 4000))  # records that cross blocks of 32 KiB
        records.append(record)
    path = tmp_path / "run-abc.wandb"
    path.write_bytes(framed([record.SerializeToString() for record in records]) + b"\x00\x00\x00\x00\xff")
    (t,) = load([path])
    assert (t.name, t.metric, t.steps_S.tolist()) == ("brisk-sun", "eval/accuracy", list(CURVE))
    (reward,) = load([path], "train/reward")
    assert reward.values_S.tolist() == list(CURVE.values())


def framed(records: list[bytes]) -> bytes:
    """LevelDB's log format behind W&B's header."""
    out = bytearray(b":W&B\x00\xbe\xef")
    for record in records:
        first = True
        while first or record:
            left = 32768 - len(out) % 32768
            if left < 7:
                out += b"\x00" * left
                left = 32768
            piece, record = record[: left - 7], record[left - 7 :]
            kind = 1 if first and not record else 2 if first else 3 if record else 4
            out += struct.pack("<IHB", 0, len(piece), kind) + piece
            first = False
    return bytes(out)


class RecordedApi:
    """Answers as `wandb.Api` gives them."""

    def run(self, path: str) -> Any:
        if path != "me/rl/abc":
            raise ValueError(f"Could not find run <Run {path} (not found)>\nsecond line")
        return self._run("brisk-sun", 1.0)

    def runs(self, path: str) -> Iterator[Any]:
        yield from (self._run("a", 1.0), self._run("b", 0.5))

    def _run(self, name: str, factor: float) -> Any:
        rows = [{"_step": s, "_runtime": 1.5, "train/reward": v * factor, "extra": None} for s, v in CURVE.items()]
        return SimpleNamespace(name=name, id="abc", scan_history=lambda: iter(rows))


def test_wandb_online_from_recorded_answers() -> None:
    (history,) = read_online("wandb://me/rl/abc", RecordedApi())
    assert history.name == "brisk-sun"
    assert history.columns["train/reward"].steps_R.tolist() == list(CURVE)
    assert [h.name for h in read_online("wandb://me/rl", RecordedApi())] == ["a", "b"]
    assert [h.name for h in read_online("wandb://me/rl/runs/abc", RecordedApi())] == ["brisk-sun"]
    with pytest.raises(
        InputError, match=r"wandb://me/rl/zzz: W&B did not return this run: Could not find run"
    ) as error:
        read_online("wandb://me/rl/zzz", RecordedApi())
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="expected wandb://ENTITY/PROJECT/RUN"):
        read_online("wandb://me", RecordedApi())


def event_file(path: Path, begins: float, values: dict[int, float]) -> None:
    event_pb2 = pytest.importorskip("tensorboard.compat.proto.event_pb2", reason="needs tensorboard (extra trackers)")
    records = b""
    for i, (step, value) in enumerate(values.items()):
        event = event_pb2.Event(wall_time=begins + i, step=step)
        event.summary.value.add(tag="train/reward", simple_value=value)
        data = event.SerializeToString()
        records += struct.pack("<Q", len(data)) + b"crc." + data + b"crc."
    path.write_bytes(records)


def test_event_files_of_several_runs_in_one_folder_are_several_runs(tmp_path: Path) -> None:
    for i in range(3):
        event_file(tmp_path / f"events.out.tfevents.{i}.host", 1000.0 * i, {s: v + i for s, v in CURVE.items()})
    found = load([tmp_path])
    assert [len(t) for t in found] == [20, 20, 20]
    assert len({t.name for t in found}) == 3
    at_the_same_time_as_the_first = {s: v + 9 for s, v in CURVE.items()}
    event_file(tmp_path / "events.out.tfevents.9.host", 5.0, at_the_same_time_as_the_first)
    assert len(load([tmp_path])) == 4


def test_stdin_and_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(json.dumps({"step": s, "reward": v}) + "\n" for s, v in CURVE.items()).encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    (t,) = load(["-"])
    assert (t.name, len(t)) == ("stdin", 20)
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(fifo)!r}, 'wb').write({text!r})"])
    (t,) = load([fifo])
    writer.wait()
    assert len(t) == 20


def log(tmp_path: Path, content: str = "") -> Path:
    path = tmp_path / "x.csv"
    path.write_text(content or "step,reward\n" + "".join(f"{s},{v}\n" for s, v in CURVE.items()))
    return path


def one_line(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["analyze", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_mistakes_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log(tmp_path)
    assert "given twice" in one_line(capsys, str(path), str(path))
    assert "a file; expected a directory" in one_line(capsys, str(path), "--report", str(path))
    assert "cannot be written" in one_line(capsys, str(path), "--report", str(path / "below"))
    assert "cannot be written" in one_line(capsys, str(path), "--report", "/proc/nothing")
    (tmp_path / "damaged.csv.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    assert "damaged.csv.gz: " in one_line(capsys, str(tmp_path / "damaged.csv.gz"))
    large = log(tmp_path, "step,reward\n1,0.5\n2,1e300\n3,0.5\n4,0.4\n")
    assert "has the value 1e+300" in one_line(capsys, str(large))
    far = log(tmp_path, "step,reward\n1,0.5\n1e300,0.5\n")
    assert "expected a step" in one_line(capsys, str(far))
    assert "no finite number of reward" in one_line(capsys, str(log(tmp_path, "step,reward\n1,nan\n2,inf\n")))


def test_an_unreadable_file_is_left_out_of_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log(tmp_path)
    (tmp_path / "damaged.csv.gz").write_bytes(b"\x1f\x8b\x08\x00damaged")
    assert main(["analyze", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["runs"]) == 1
    assert "left out" in captured.err


def test_a_folder_is_read_without_the_packages_that_some_of_its_files_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log(tmp_path)
    (tmp_path / "run-a.wandb").write_bytes(b":W&B\x00\xbe\xef")
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"\x01" * 40)
    for module in ("wandb.proto.wandb_internal_pb2", "tensorboard.compat.proto.event_pb2", "pandas", "torch", "scipy"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main(["analyze", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    assert [run["name"] for run in json.loads(captured.out)["runs"]] == ["x"]
    assert "wandb is not installed" in captured.err
    assert "tensorboard is not installed" in captured.err
    assert main(["analyze", str(tmp_path / "run-a.wandb")]) == 2
