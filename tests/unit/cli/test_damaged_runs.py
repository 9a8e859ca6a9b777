"""Runs whose files are broken, lost, or no files: each is named in one line, and hides no other."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from crestfall.cli.main import main
from crestfall.core.entry import UNEXPECTED


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two cells."""
    path = tmp_path_factory.mktemp("made")
    methods = {"naive": {}, "es": {"control": {"name": "early_stop"}}}
    (path / "study.yaml").write_text(json.dumps(fakes.options(seeds=[0], methods=methods)))
    assert main(["study", str(path / "study.yaml"), "--out", str(path / "s")]) == 0
    return path / "s"


@pytest.fixture(autouse=True)
def runs(made: Path, scratch: Path) -> None:
    """`s`, that study, and `r`, a run that is one of its cells, in the working directory."""
    shutil.copytree(made, "s", symlinks=True)
    shutil.copytree(made / "cells" / "naive" / "seed-0", "r", symlinks=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("run.json", '{"status": "done"}'),
        ("run.json", '{"config": {}, "method": "naive", "seed": 0, "status": "done", "provenance": {}}'),
        ("events.jsonl", '{"seq": 0}\n'),
        ("events.jsonl", '{"type": "step"}\n'),
        ("events.jsonl", "\x00\x01 garbage\n"),
        ("events.jsonl", "null\n"),
        ("events.jsonl", '{"type": "campaign_started", "campaign": "x"}\n'),
    ],
)
def test_a_damaged_run_is_named_by_status_and_report(
    name: str, text: str, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scratch / "r" / name).write_text(text)
    capsys.readouterr()
    assert main(["status", "r"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("crestfall: r")
    assert captured.err.count("\n") == 1
    assert main(["report", "r"]) in (0, 2)
    assert UNEXPECTED not in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [{"n": 0}, {"n": -1}, {"n": "4"}, {"passed": [999]}, {"passed": [None]}, {"passed": []}, {"passed": "ab"}],
)
def test_counts_that_cannot_be_are_named(
    change: dict[str, object], scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = scratch / "r" / "events.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    for event in events:
        if event["type"] == "step":
            event["report"] |= change
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    capsys.readouterr()
    for words in (["analyze", "r"], ["report", "r"], ["diff", "r", "r"], ["replay", "r", "--control", "fixed"]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert err.startswith("crestfall: r/events.jsonl")
        assert err.count("\n") == 1


def test_one_damaged_run_does_not_hide_the_others_of_a_folder(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("s", "runs/s")
    (scratch / "runs/s/cells/es/seed-0/run.json").write_text("{")
    (scratch / "runs/s/cells/naive/seed-0.log").write_text("what a cell printed\n")
    capsys.readouterr()
    assert main(["analyze", "runs", "--json"]) == 0
    captured = capsys.readouterr()
    assert {run["path"] for run in json.loads(captured.out)["runs"]} == {"runs/s/cells/naive/seed-0"}
    assert "left out: runs/s/cells/es/seed-0/run.json" in captured.err
    assert ".log" not in captured.err


CELL = Path("s/cells/es/seed-0")


def _link_to_zero(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("name", ["run.json", "events.jsonl"])
@pytest.mark.parametrize(
    "harm", [lambda file: file.write_text("{\n"), lambda file: file.write_bytes(b"\xff\xfe\n"), _link_to_zero, _pipe]
)
def test_one_damaged_cell_is_named_and_hides_no_other_of_its_study(
    harm: Callable[[Path], object], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(CELL / name)
    _check_the_others(capsys, str(CELL / name))


def test_a_cell_that_has_lost_its_run_json_is_damaged(capsys: pytest.CaptureFixture[str]) -> None:
    (CELL / "run.json").unlink()
    _check_the_others(capsys, str(CELL))


def _check_the_others(capsys: pytest.CaptureFixture[str], damaged: str) -> None:
    capsys.readouterr()
    assert main(["status", "s"]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 cells done" in said
    assert f"damaged: es/seed-0: {damaged}" in said
    for words in (["analyze", "s"], ["replay", "s", "--control", "crest"], ["report", "s"], ["report", "."]):
        assert main([*words, "--json"]) == 0, words
        captured = capsys.readouterr()
        found = json.loads(captured.out)
        if "runs" in found:
            assert {Path(run["path"]) for run in found["runs"]} == {Path("s/cells/naive/seed-0")}
        assert f"left out: {damaged}" in captured.err, words
        assert captured.err.count("\n") == 1, words
    page = Path("s/report.html").read_text()
    assert f"Left out: {damaged}" in page
    assert "Not begun" not in page
    assert "naive" in page


@pytest.mark.parametrize("verb", ["analyze", "report"])
def test_a_study_of_damaged_cells_alone_is_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    for file in Path("s").rglob("run.json"):
        file.write_text("{\n")
    capsys.readouterr()
    assert main([verb, "s"]) == 2
    assert "run.json: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run.json", "events.jsonl", "checkpoints/state.json"])
@pytest.mark.parametrize("harm", [_link_to_zero, _pipe])
def test_a_file_of_a_run_that_never_ends_is_refused_and_not_read(
    harm: Callable[[Path], object], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    meta = json.loads(Path("r/run.json").read_text())
    Path("r/run.json").write_text(json.dumps(meta | {"status": "interrupted"}))
    lines = Path("r/events.jsonl").read_text().splitlines(keepends=True)
    Path("r/events.jsonl").write_text("".join(lines[:-1]))
    harm(Path("r", name))
    for words in (["status", "r"], ["report", "r"], ["analyze", "r"], ["run", "study.yaml", "method=naive", "seed=0"]):
        if name != "checkpoints/state.json" or words[0] == "run":
            assert main([*words, "--out", "r"] if words[0] == "run" else words) == 2, words
            err = capsys.readouterr().err
            assert (err.count("\n"), "Traceback" in err, UNEXPECTED in err) == (1, False, False), err
            assert name in err or words[0] == "analyze", err


@pytest.mark.parametrize(
    "change",
    [
        lambda events: events[3:],
        lambda events: [{**e, "seconds": {"a": "x", "b": 1}} for e in events],
        lambda events: [{**e, "select": {"pass_at_1": "x"}} for e in events],
        lambda events: [{**e, "budget": None} for e in events if e["type"] != "campaign_started"],
    ],
)
@pytest.mark.parametrize("status", ["done", "interrupted"])
def test_events_that_no_run_writes_are_one_line_and_change_nothing(
    change: Callable[[list[dict[str, object]]], list[dict[str, object]]],
    status: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A finished run without its log's head ended in an IndexError, an unfinished one was marked as failed."""
    log, meta = Path("r/events.jsonl"), Path("r/run.json")
    events = change([json.loads(line) for line in log.read_text().splitlines()])
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"status": status}))
    before = {file: file.read_bytes() for file in (log, meta)}
    for words in (["run", "study.yaml", "method=naive", "seed=0", "--out", "r"], ["status", "r"]):
        capsys.readouterr()
        assert main(words) == 2, words
        err = capsys.readouterr().err
        assert (err.count("\n"), UNEXPECTED in err, "r/events.jsonl" in err) == (1, False, True), err
    assert {file: file.read_bytes() for file in (log, meta)} == before


@pytest.mark.parametrize("left", [0, 1, 12])
def test_a_finished_run_whose_log_is_cut_is_damaged(left: int, capsys: pytest.CaptureFixture[str]) -> None:
    log = Path("r/events.jsonl")
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:left]))
    capsys.readouterr()
    assert main(["status", "r"]) == 2
    assert capsys.readouterr().err.startswith("crestfall: r/events.jsonl: the file is missing or cut")
    assert main(["report", "r"]) == 0
    assert "events.jsonl is missing or cut" in Path("r/report.html").read_text()
