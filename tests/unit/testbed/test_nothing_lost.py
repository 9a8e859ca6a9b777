"""What stands in a directory is kept, or the command is refused: whatever is missing, damaged, or of somebody else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import fakes
from crestfall.core.errors import ConfigError, InputError, RunDirectoryError
from crestfall.store.lock import Lock
from crestfall.store.meta import read_study
from crestfall.store.run_directory import RunDirectory
from crestfall.testbed.chain import Interrupted
from crestfall.testbed.config import run_config, study_config
from crestfall.testbed.session import train
from crestfall.testbed.study import cells_of, check_directory, prepare

EVENTS = "events.jsonl"


def run(path: Path, stop_after: int | None = None, **over: Any) -> bool:
    """Train with the fakes; asked to stop after so many events of type `step`."""
    seen = []

    class Counter:
        def event(self, event: Mapping[str, Any]) -> None:
            seen.extend([event] * (event["type"] == "step"))

        def close(self) -> None: ...

    asked = (lambda: len(seen) >= stop_after) if stop_after is not None else (lambda: False)
    return train(run_config(fakes.options(**over)), path, {}, lambda _: [Counter()], asked)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run(tmp_path / "r")
    return tmp_path / "r"


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    with pytest.raises(Interrupted):
        run(tmp_path / "r", stop_after=6)
    return tmp_path / "r"


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("gone", ["checkpoints", "checkpoints/state.json"])
def test_a_finished_run_stays_finished_without_its_checkpoints(finished: Path, gone: str) -> None:
    log = (finished / EVENTS).read_bytes()
    remove(finished / gone)
    assert run(finished) is False
    assert (finished / EVENTS).read_bytes() == log


@pytest.mark.parametrize("gone", ["checkpoints", "checkpoints/state.json", "run.json", EVENTS])
def test_an_unfinished_run_that_lacks_a_part_is_refused_as_it_is(interrupted: Path, gone: str) -> None:
    remove(interrupted / gone)
    before = everything(interrupted)
    with pytest.raises(RunDirectoryError, match=r"elsewhere|another directory"):
        run(interrupted)
    assert everything(interrupted) == before


def test_a_finished_run_without_its_log_is_refused(finished: Path) -> None:
    for name in (EVENTS, "checkpoints"):
        remove(finished / name)
    with pytest.raises(RunDirectoryError, match=r"events\.jsonl is missing or cut"):
        run(finished)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"seq": 1}', '{"seq":1,"pending":[],"snapshots":[],"state":{"care":3}}']
)
def test_a_damaged_state_is_refused_and_the_log_left_alone(interrupted: Path, text: str) -> None:
    (interrupted / "checkpoints/state.json").write_text(text)
    log = (interrupted / EVENTS).read_bytes()
    with pytest.raises(RunDirectoryError):
        run(interrupted)
    assert (interrupted / EVENTS).read_bytes() == log


def test_a_state_of_another_time_does_not_shorten_the_log(interrupted: Path) -> None:
    old = (interrupted / "checkpoints/state.json").read_bytes()
    run(interrupted)
    log = (interrupted / EVENTS).read_bytes()
    (interrupted / "checkpoints/state.json").write_bytes(old)
    meta = json.loads((interrupted / "run.json").read_text()) | {"status": "interrupted"}
    (interrupted / "run.json").write_text(json.dumps(meta))
    with pytest.raises(RunDirectoryError, match=r"of another time|is missing or incomplete"):
        run(interrupted)
    assert (interrupted / EVENTS).read_bytes() == log


def test_a_torn_tail_is_cut_and_what_the_commit_knows_is_added(interrupted: Path, tmp_path: Path) -> None:
    run(tmp_path / "whole")
    log = (interrupted / EVENTS).read_bytes()
    (interrupted / EVENTS).write_bytes(log[: log.rstrip(b"\n").rfind(b"\n") + 9])
    run(interrupted)
    assert timeless(interrupted) == timeless(tmp_path / "whole")


def flip(path: Path, other: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize("damage", [flip, lambda path, other: shutil.copyfile(other, path)])
def test_a_snapshot_that_has_changed_is_noticed_at_resume(interrupted: Path, damage: Callable[..., Any]) -> None:
    files = sorted((interrupted / "checkpoints").glob("campaign-*/snapshot.safetensors"))
    assert len(files) > 1
    (interrupted / EVENTS).open("a").write('{"torn')  # which is not cut where the run is refused
    for file, other in zip(files, files[1:] + files[:1], strict=True):
        whole = file.read_bytes()
        damage(file, other)
        before = everything(interrupted)
        with pytest.raises(RunDirectoryError, match="SHA-256 differs"):
            run(interrupted)
        assert everything(interrupted) == before
        file.write_bytes(whole)
    run(interrupted)


def test_a_broken_line_of_the_log_is_named_and_the_run_left_as_it_was(interrupted: Path) -> None:
    log = interrupted / EVENTS
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"\xff\xfe\n", *lines[2:-1], lines[-1][:9]]))
    before = everything(interrupted)
    with pytest.raises(InputError, match=r"events\.jsonl:2: not UTF-8"):
        run(interrupted)
    assert everything(interrupted) == before


def cut_off_from(path: Path, harm: Callable[[Path], Any]) -> str:
    """What a run says whose directory is harmed after its third step."""
    steps = []

    class Harm:
        def event(self, event: Mapping[str, Any]) -> None:
            steps.extend([event] * (event["type"] == "step"))
            if len(steps) == 3:
                steps.append({})
                harm(path)

        def close(self) -> None: ...

    with pytest.raises(RunDirectoryError) as caught:
        train(run_config(fakes.options()), path, {}, lambda _: [Harm()])
    return str(caught.value)


def test_a_directory_that_is_removed_under_a_run_is_not_begun_anew(tmp_path: Path) -> None:
    """It went on into a new directory of the same name, and ended with half a log, a report and exit code 0."""
    assert "was removed or moved" in cut_off_from(tmp_path / "r", shutil.rmtree)
    assert not (tmp_path / "r").exists()


def test_a_directory_that_is_moved_under_a_run_is_whole_and_goes_on(tmp_path: Path) -> None:
    def move(path: Path) -> None:
        path.rename(tmp_path / "moved")
        path.mkdir()
        (path / "run.json").write_text("somebody else's")

    assert "was removed or moved" in cut_off_from(tmp_path / "r", move)
    assert everything(tmp_path / "r") == {"run.json": b"somebody else's"}
    for name in ("moved", "whole"):
        run(tmp_path / name)
    assert timeless(tmp_path / "moved") == timeless(tmp_path / "whole")


@pytest.mark.parametrize("harm", [remove, lambda log: log.open("a").write("mine\n"), lambda log: log.write_text("")])
def test_a_log_that_something_else_changes_under_a_run_ends_it(tmp_path: Path, harm: Callable[[Path], Any]) -> None:
    said = cut_off_from(tmp_path / "r", lambda path: harm(path / EVENTS))
    assert "events.jsonl: something else has changed the file" in said
    assert json.loads((tmp_path / "r/run.json").read_text())["status"] == "failed"


def test_directories_of_somebody_else_beside_the_snapshots_are_left_alone(interrupted: Path) -> None:
    own = interrupted / "checkpoints" / "my_favourite"
    own.mkdir()
    run(interrupted)
    assert own.exists()


# --- before the first commit there is nothing to keep ---


def test_what_fails_before_the_first_commit_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        run(tmp_path / "deep" / "r", policy={"name": "fake", "size": 4}, engine={"name": "fake_broken"})
    assert os.listdir(tmp_path) == []
    run(tmp_path / "deep" / "r")


def test_what_fails_before_the_first_commit_takes_no_more_along_than_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / ".note").touch()

    def fails(self: RunDirectory, *_: Any) -> None:
        assert (self.path / "checkpoints" / "base").exists()
        raise RuntimeError("before the first commit")

    monkeypatch.setattr(RunDirectory, "commit", fails)
    with pytest.raises(RuntimeError):  # with hard cases a snapshot of the base policy comes before the first commit
        run(tmp_path / "r", chain={"campaigns": 1, "final": 10, "hard_cases": 2})
    assert os.listdir(tmp_path / "r") == [".note"]


def test_a_session_killed_before_its_first_commit_is_in_nobodys_way(tmp_path: Path) -> None:
    """As version 0.1 left it where weights were missing: a run.json without an event."""
    run(tmp_path / "r")
    for name in (EVENTS, "checkpoints", "report.html"):
        if (tmp_path / "r" / name).exists():
            remove(tmp_path / "r" / name)
    meta = json.loads((tmp_path / "r" / "run.json").read_text()) | {"status": "failed", "error": "no weights"}
    (tmp_path / "r" / "run.json").write_text(json.dumps(meta))
    assert run(tmp_path / "r", seed=7)
    assert json.loads((tmp_path / "r" / "run.json").read_text())["seed"] == 7


def test_a_lock_that_is_withdrawn_leaves_others_a_directory_to_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "a" / "b")
    lock.acquire()
    lock.withdraw()
    assert os.listdir(tmp_path) == []
    with Lock(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".lock").exists()


# --- studies ---


def study(**over: Any) -> Any:
    methods = {"naive": {}, "es": {"control": {"name": "early_stop"}}}
    return study_config(fakes.options(seeds=[0], methods=methods) | over)


def longer() -> dict[str, Any]:
    return {"campaign": fakes.options()["campaign"] | {"steps": 7}}


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A study of which one cell has been run."""
    cells = prepare(study(), tmp_path / "s")
    train(cells[1].config, cells[1].path, {})
    return tmp_path / "s"


@pytest.mark.parametrize(
    "over",
    [
        longer() | {"seeds": [1]},
        longer() | {"seeds": [1], "methods": {"other": {}}},
        {"seeds": [1], "methods": {"naive": {}, "es": {"control": {"name": "early_stop", "margin": 1}}}},
        {"methods": {"es": {}}},
    ],
)
def test_a_study_of_another_configuration_is_refused_whatever_its_seeds(half: Path, over: dict[str, Any]) -> None:
    before = everything(half)
    with pytest.raises(RunDirectoryError, match="another configuration"):
        prepare(study(**over), half)
    assert everything(half) == before


def test_seeds_and_methods_may_be_added_and_none_is_forgotten(half: Path) -> None:
    prepare(study(seeds=[1], methods={"rloo": {}}), half)
    written = read_study(half)
    assert written is not None
    assert [(c["method"], c["seed"]) for c in written["cells"]] == [("es", 0), ("rloo", 1)]
    prepare(study(), half)


def test_a_study_does_not_go_into_a_runs_directory_nor_a_run_into_a_studys(half: Path, finished: Path) -> None:
    with pytest.raises(RunDirectoryError, match="holds a run; choose another directory"):
        prepare(study(), finished)
    with pytest.raises(RunDirectoryError, match="holds a study; choose another directory"):
        run(half)
    (finished.parent / "thesis").mkdir()
    (finished.parent / "thesis" / "chapter.tex").touch()
    with pytest.raises(RunDirectoryError, match="not empty and not a study's directory"):
        check_directory(study(), finished.parent / "thesis")


def test_a_study_that_has_lost_its_study_json_still_compares(half: Path) -> None:
    (half / "study.json").unlink()
    with pytest.raises(RunDirectoryError, match="another configuration"):
        prepare(study(**longer(), seeds=[1]), half)
    with pytest.raises(RunDirectoryError, match="which this study does not have"):
        prepare(study(methods={"other": {}}), half)
    assert len(prepare(study(), half)) == 2


def test_checking_a_study_writes_nothing(tmp_path: Path) -> None:
    check_directory(study(), tmp_path / "s")
    assert os.listdir(tmp_path) == []
    assert len(cells_of(study(), tmp_path / "s")) == 2


def test_the_wrong_component_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no engine is called"):
        run(tmp_path / "r", engine={"name": "fakee"})
    assert os.listdir(tmp_path) == []


def everything(path: Path) -> dict[str, bytes]:
    files = (file for file in path.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def timeless(path: Path) -> list[Any]:
    lines = (path / EVENTS).read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("time", "seconds")} for line in lines]
