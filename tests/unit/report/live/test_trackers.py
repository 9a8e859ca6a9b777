"""What trackers get of a run with a rollback, as the real packages store it: a step axis that never goes back."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crestfall.analysis.importers.load import load
from crestfall.core.errors import ConfigError
from crestfall.report.live.axis import StepAxis
from crestfall.report.live.tolerant import Tolerant
from crestfall.report.live.trackers import trackers

EVALUATION = {"n": 2, "pass_at_1": 0.5, "passed": [1]}


def step(campaign: int, number: int, score: float, action: str = "continue", reason: str = "") -> dict[str, Any]:
    return {
        "type": "step",
        "campaign": campaign,
        "step": number,
        "select": EVALUATION,
        "report": EVALUATION | {"pass_at_1": score},
        "signals": {"entropy": 1.5},
        "verdicts": {"passed": 3, "wrong_answer": 1},
        "decision": {"action": action, "target_step": None, "reason": reason, "evidence": {}},
    }


def ended(campaign: int, stopped_by: str) -> dict[str, Any]:
    numbers = {"steps": 2, "peak": 0.6, "peak_step": 1, "end": 0.5, "handed_on_step": 1}
    return {"type": "campaign_ended", "campaign": campaign, "stopped_by": stopped_by, **numbers}


EVENTS: list[dict[str, Any]] = [
    {"type": "run_started"},
    {"type": "final", "when": "start", "evaluation": EVALUATION},
    step(0, 0, 0.5),
    step(0, 1, 0.6),
    step(0, 2, 0.3, "rollback", "nothing better"),
    {"type": "rollback", "campaign": 0, "step": 2, "target_step": 1, "reason": "nothing better"},
    step(0, 3, 0.65),
    ended(0, "budget"),
    step(1, 0, 0.64),
    step(1, 1, 0.7, "continue", "alert: down"),
    ended(1, "nothing above 0.7"),
    {"type": "run_ended", "campaigns": 2},
]
SCORES = [(0, 0.5), (1, 0.6), (2, 0.3), (3, 0.65), (4, 0.64), (5, 0.7)]


def test_the_axis_never_goes_back_and_goes_on_after_a_resume() -> None:
    axis = StepAxis()
    points = [point for event in EVENTS if (point := axis.point(event))]
    positions = [point.position for point in points]
    assert positions == sorted(positions)
    assert [(p.position, p.values["report/pass_at_1"]) for p in points if "report/pass_at_1" in p.values] == SCORES
    assert [p.notice for p in points if p.notice] == [
        "rollback to step 1: nothing better",
        "alert: down",
        "stop: nothing above 0.7",
    ]
    assert points[1].values["verdicts/passed"] == 0.75
    point = StepAxis(EVENTS[:7]).point(EVENTS[8])
    assert point is not None
    assert point.position == 4


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from crestfall.report.live.tensorboard import TensorBoardSink

    for earlier, now in ((EVENTS[:7], EVENTS[7:]), ([], [])):
        first = TensorBoardSink(tmp_path, [])
        for event in earlier:
            first.event(event)
        first.close()
        second = TensorBoardSink(tmp_path, earlier)
        for event in now:
            second.event(event)
        second.close()
    stored = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0, "scalars": 0})
    stored.Reload()
    points = [(e.step, round(float(e.tensor_proto.float_val[0]), 6)) for e in stored.Tensors("report/pass_at_1")]
    assert points == SCORES
    assert [e.step for e in stored.Tensors("rollback/target_step")] == [2]
    # `crestfall analyze` reads it back, judged by the score that no controller saw.
    assert [t.metric for t in load([tmp_path])] == ["report/pass_at_1"]


def test_a_run_is_given_each_tracker_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    sinks = trackers(["tensorboard", "tensorboard"], tmp_path, {}, EVENTS[:3])
    for event in EVENTS[3:]:
        for sink in sinks:
            sink.event(event)
    for sink in sinks:
        sink.close()
    assert len(sinks) == 1
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


@pytest.mark.slow
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    from crestfall.report.live.wandb import WandbSink

    sink = WandbSink(tmp_path, {"seed": 1}, mode="offline")
    for event in EVENTS[:7]:
        sink.event(event)
    sink.close()
    first_id = (tmp_path / "wandb_id").read_text()
    sink = WandbSink(tmp_path, {"seed": 1}, mode="offline", earlier=EVENTS[:7])
    for event in EVENTS[7:]:
        sink.event(event)
    sink.close()
    assert (tmp_path / "wandb_id").read_text() == first_id
    rows = [row for path in sorted(tmp_path.glob("wandb/offline-run-*/*.wandb")) for row in wandb_rows(path)]
    assert [(row["_step"], row["report/pass_at_1"]) for row in rows if "report/pass_at_1" in row] == SCORES
    assert all(path.name.endswith(f"{first_id.strip()}.wandb") for path in tmp_path.glob("wandb/offline-run-*/*.wandb"))


def wandb_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The history in W&B's own transaction log."""
    from wandb.proto import wandb_internal_pb2

    for raw in leveldb_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(raw)
        if record.history.item:
            row = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            yield row | {"_step": record.history.step.num}


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """Records of a LevelDB log: 32 KiB blocks; a piece of a record is headed by crc (4 bytes), length (2), type (1)."""
    at, whole = 7, b""  # after W&B's own header
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            yield whole
            whole = b""


@pytest.mark.slow
def test_trackio(tmp_path: Path) -> None:
    """In a process of its own: trackio takes its directory from the environment, once."""
    pytest.importorskip("trackio")
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_trackers import EVENTS
from crestfall.report.live.trackio import TrackioSink
for earlier, now in (([], EVENTS[:7]), (EVENTS[:7], EVENTS[7:])):
    sink = TrackioSink("chain", {{"seed": 1}}, project="p", earlier=earlier)
    for event in now:
        sink.event(event)
    sink.close()
import json
from trackio.sqlite_storage import SQLiteStorage
print("ROWS", json.dumps(SQLiteStorage.get_logs("p", "chain"), default=str))
"""
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path), "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.split("ROWS ")[1].splitlines()[0])
    assert [(row["step"], row["report/pass_at_1"]) for row in rows if "report/pass_at_1" in row] == SCORES


@pytest.mark.slow
def test_mlflow_through_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("accelerate")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path / 'store'}")
    for earlier, now in ((EVENTS[:0], EVENTS[:7]), (EVENTS[:7], EVENTS[7:])):
        (sink,) = trackers(["mlflow"], tmp_path, {"campaign": {"steps": 3}}, earlier)
        for event in now:
            sink.event(event)
        sink.close()
    run_id = (tmp_path / "mlflow_id").read_text().strip()
    history = mlflow.MlflowClient().get_metric_history(run_id, "report/pass_at_1")
    assert [(point.step, point.value) for point in history] == SCORES
    assert mlflow.MlflowClient().get_run(run_id).data.params == {"campaign.steps": "3"}


def test_accelerate_s_trackers_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate")
    with pytest.raises(ConfigError, match="--track swanlab: not installed: pip install swanlab"):
        trackers(["swanlab"], tmp_path, {}, [])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="runs of one process only"):
        trackers(["swanlab"], tmp_path, {}, [])


def test_a_tracker_that_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        calls = 0

        def event(self, event: Any) -> None:
            self.calls += 1
            raise ConnectionError("down")

        def close(self) -> None:
            raise AssertionError("a sink that failed is not touched again")

    broken = Broken()
    sink = Tolerant(broken, "tracker")
    for event in EVENTS:
        sink.event(event)
    sink.close()
    assert broken.calls == 1
    assert "tracker failed and is left out from here on: down" in caplog.text
