"""Replay: what a controller would have done, scored where it did not choose, without looking ahead."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from crestfall import Guard
from crestfall.analysis import replay
from crestfall.analysis.importers.load import load
from crestfall.cli.main import main
from crestfall.cli.replay import rows_of, show
from crestfall.control.early_stop import EarlyStop
from crestfall.core.build import component
from crestfall.core.registry import components
from crestfall.core.types import Decision, Record


def write_log(path: Path, **curves: list[float]) -> Path:
    rows = zip(*curves.values(), strict=True)
    path.write_text(
        "".join(json.dumps({"step": i, **dict(zip(curves, row, strict=True))}) + "\n" for i, row in enumerate(rows))
    )
    return path


def run_json(capsys: pytest.CaptureFixture[str], *argv: str) -> list[dict[str, Any]]:
    assert main(["replay", *argv, "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["runs"]
    return rows


ACCURACY = [0.2, 0.5, 0.4, 0.3, 0.2, 0.9]
REPORT = [0.2, 0.45, 0.5, 0.3, 0.2, 0.8]


def test_a_replay_ends_at_the_first_action(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "a.jsonl", accuracy=ACCURACY)
    stop, back, none = run_json(capsys, str(log), "--control", "early_stop", "--control", "none", "margin=2")[
        :2
    ] + run_json(capsys, str(log), "--control", "early_stop", "early_stop.then=go_on")
    assert (stop["stopped_at"], stop["kept_step"], stop["action"]) == (3, 1, "stop")
    assert (back["control"], back["stopped_at"], back["kept_step"], back["gain"]) == ("none", None, 5, 0)
    assert (none["stopped_at"], none["kept_step"], none["action"]) == (4, 1, "rollback")
    assert stop["kept_value"] == 0.5  # and not the 0.9 that came after the action
    assert (stop["last_value"], stop["best_value"], stop["best_step"]) == (0.9, 0.9, 5)
    assert stop["gain"] == pytest.approx(-0.4)
    assert stop["regret"] == pytest.approx(0.4)
    assert (stop["steps_run"], stop["steps_saved"]) == (3, 2)


def test_the_curve_it_chose_on_is_labelled_biased(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "a.jsonl", accuracy=ACCURACY, held_out=REPORT)
    (biased,) = run_json(capsys, str(log), "--control", "early_stop", "margin=2")
    assert biased["biased"]
    assert biased["scored_on"] == "biased: chosen and scored on accuracy"
    (scored,) = run_json(capsys, str(log), "--control", "early_stop", "--score", "held_out", "margin=2")
    assert not scored["biased"]
    assert scored["scored_on"] == "held_out"
    assert (scored["kept_step"], scored["kept_value"]) == (1, 0.45)
    assert (scored["trace_step"], scored["trace_value"]) == (5, 0.8)
    assert (scored["best_step"], scored["best_value"]) == (5, 0.8)


def write_run(path: Path, select: list[int], report: list[int]) -> Path:
    """A run directory of one campaign, scores in counts of 10."""
    path.mkdir()
    (path / "run.json").write_text(json.dumps({"config": {}, "seed": 0, "method": "naive", "status": "done"}))
    events: list[dict[str, Any]] = [{"type": "campaign_started", "campaign": 0, "budget": len(select) - 1}]
    for step, (chosen_on, scored_on) in enumerate(zip(select, report, strict=True)):
        evaluations = {
            name: {"n": 10, "pass_at_1": count / 10, "passed": [count]}
            for name, count in (("select", chosen_on), ("report", scored_on))
        }
        events.append({"type": "step", "campaign": 0, "step": step, **evaluations, "signals": {}})
    lines = [json.dumps({"seq": seq, "time": 0, **event}) for seq, event in enumerate(events)]
    (path / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return path


def test_our_own_runs_are_scored_on_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [2, 6, 3, 2, 1], [3, 5, 7, 2, 0])
    (row,) = run_json(capsys, str(run), "--control", "early_stop")
    assert (row["scored_on"], row["biased"]) == ("report", False)
    assert (row["kept_step"], row["kept_value"], row["last_value"]) == (1, 0.5, 0.0)
    assert (row["trace_value"], row["best_value"], row["best_step"]) == (0.5, 0.7, 2)


def test_a_guards_own_observations_replay_as_it_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard = Guard(tmp_path / "guard", control="none")
    for step, (value, report) in enumerate(zip(ACCURACY, REPORT, strict=True)):
        guard.observe(step, select=value, report=report, n=100, reward=0.9)
    log = str(tmp_path / "guard" / "observations.jsonl")
    (row,) = run_json(capsys, log, "--control", "early_stop", "--score", "report", "margin=2")
    assert (row["metric"], row["stopped_at"], row["kept_step"], row["kept_value"]) == ("select", 3, 1, 0.45)


def test_people_get_a_table_with_the_oracles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(write_log(tmp_path / f"{name}.jsonl", accuracy=ACCURACY)) for name in "ab"]
    assert main(["replay", *paths, "--control", "early_stop,alert,fixed", "margin=2", "fixed.step=4"]) == 0
    out = capsys.readouterr().out
    for words in ("early_stop", "trace oracle", "hindsight oracle", "never", "means over 2 runs", "biased:"):
        assert words in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--control", "early_stp"], "did you mean 'early_stop'"),
        (["--control", "early_stop", "margn=3"], "margn: no option of early_stop; did you mean 'margin'?"),
        (["--control", "early_stop", "margin=0"], "early_stop.margin: should be greater than or equal to 1"),
        (["--control", "early_stop", "--metric", "acuracy"], "no metric 'acuracy'; did you mean 'accuracy'?"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    log = write_log(tmp_path / "a.jsonl", accuracy=ACCURACY)
    assert main(["replay", str(log), *argv]) == 2
    error = capsys.readouterr().err
    assert message.lower() in error.lower()
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", sorted(components("control")))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_controller_looks_ahead(name: str, data: st.DataObject) -> None:
    """Whatever comes after step t, every decision up to t is the same: perturb the records after it."""
    controller = component("control", {"name": name})
    scores = st.floats(0, 1).map(lambda x: round(x, 3))
    past = data.draw(st.lists(scores, min_size=1, max_size=15))
    futures = [data.draw(st.lists(scores, max_size=8)) for _ in range(2)]
    decisions = []
    for future in futures:
        records = [Record(i, v, 0.02, signals={"entropy": v}) for i, v in enumerate(past + future)]
        state, seen = controller.init(), []
        for record in records:
            state, decision = controller.decide(state, record)
            seen.append(decision)
        decisions.append(seen[: len(past)])
        played = replay.replay(controller, records)
        first = next((i for i, d in enumerate(seen) if d.action != "continue" or d.changes_training), None)
        assert played.acted_at == first
    assert decisions[0] == decisions[1]


class Raises(EarlyStop):
    """Raises the learning rate at step 3, of which no log can show what it leads to."""

    def decide(self, state: Any, record: Record) -> Any:
        state, _ = super().decide(state, record)
        return state, Decision("continue", learning_rate_scale=1.5 if record.step == 3 else 1.0)


def test_what_cannot_be_replayed_ends_the_replay_and_is_said(tmp_path: Path) -> None:
    (run,) = load([write_log(tmp_path / "a.jsonl", accuracy=ACCURACY)], None)
    (row,) = rows_of(run, {"raises": Raises()}, None)
    assert (row["action"], row["stopped_at"], row["kept_step"], row["steps_saved"]) == ("continue", 3, 1, 2)
    assert row["note"] == "raises: learning rate x 1.5 at step 3: what that leads to cannot be replayed"
    show(Console(file=io.StringIO()), [row])


def test_an_empty_curve_is_no_replay() -> None:
    with pytest.raises(ValueError, match="no points"):
        replay.replay(EarlyStop(), [])
