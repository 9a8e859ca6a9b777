"""The best checkpoint is kept from a trainer that deletes its old ones: whole, bounded, and nothing else is touched."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.watch.keep import NOTE, Keeper
from crestfall.analysis.watch.monitor import View
from crestfall.core.errors import ConfigError


def view(tmp_path: Path, values: dict[int, float], key: str = "key") -> View:
    steps_S, values_S = np.array(list(values)), np.array(list(values.values()))
    return View(key, "run", "acc", tmp_path / "log.jsonl", steps_S, values_S, values_S, True, "")


def save(tmp_path: Path, step: int, text: str = "") -> Path:
    folder = tmp_path / "checkpoints" / f"global_step_{step}" / "actor"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_text(text or f"weights of {step}")
    return folder.parent


def keeper(tmp_path: Path, **options: int) -> Keeper:
    return Keeper(str(tmp_path / "checkpoints" / "global_step_{step}"), quiet=0.0, **options)  # type: ignore[arg-type]


def kept(tmp_path: Path) -> list[str]:
    folder = tmp_path / "checkpoints-kept"
    return sorted(p.name for p in folder.iterdir() if p.name != NOTE) if folder.is_dir() else []


def test_the_best_outlives_the_trainer_s_clean_up(tmp_path: Path) -> None:
    keep, curve = keeper(tmp_path), {0: 0.1}
    for step, value in {10: 0.3, 20: 0.6, 30: 0.5, 40: 0.2}.items():
        save(tmp_path, step)
        curve[step] = value
        keep.look(view(tmp_path, curve))
        for old in (tmp_path / "checkpoints").glob("global_step_*"):
            if old.name != f"global_step_{step}":
                shutil.rmtree(old)
    assert kept(tmp_path) == ["global_step_20"]
    whole = tmp_path / "checkpoints-kept" / "global_step_20" / "actor" / "model.bin"
    assert whole.read_text() == "weights of 20"


def test_runs_that_share_a_folder_keep_the_best_of_each(tmp_path: Path) -> None:
    keep = keeper(tmp_path)
    for step in (10, 20, 30):
        save(tmp_path, step)
        falls = {s: 0.9 - s / 100 for s in range(0, step + 1, 10)}
        keep.look(view(tmp_path, falls, "a"))
        keep.look(view(tmp_path, {s: 1 - v for s, v in falls.items()}, "b"))
    shutil.rmtree(tmp_path / "checkpoints")
    keep.look(view(tmp_path, falls, "a"))
    assert kept(tmp_path) == ["global_step_10", "global_step_30"]


def test_what_an_older_version_kept_is_let_go(tmp_path: Path) -> None:
    save(tmp_path, 10)
    keeper(tmp_path).look(view(tmp_path, {0: 0.1, 10: 0.5}))
    (tmp_path / "checkpoints-kept" / NOTE).write_text("global_step_10\n")
    save(tmp_path, 20)
    keeper(tmp_path).look(view(tmp_path, {0: 0.1, 10: 0.5, 20: 0.6}))
    assert kept(tmp_path) == ["global_step_20"]


def test_links_cost_no_disk_and_copies_are_apart(tmp_path: Path) -> None:
    original = save(tmp_path, 10) / "actor" / "model.bin"
    lines = keeper(tmp_path).look(view(tmp_path, {0: 0.1, 10: 0.5}))
    copy = tmp_path / "checkpoints-kept" / "global_step_10" / "actor" / "model.bin"
    assert copy.samefile(original)
    assert "hard links" in lines[0]
    shutil.rmtree(tmp_path / "checkpoints-kept")
    keeper(tmp_path, copy=True).look(view(tmp_path, {0: 0.1, 10: 0.5}))
    assert not copy.samefile(original)


def test_without_hard_links_it_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 10)

    def no_links(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", no_links)
    assert "(copy)" in keeper(tmp_path).look(view(tmp_path, {0: 0.1, 10: 0.5}))[0]
    assert kept(tmp_path) == ["global_step_10"]


def test_a_few_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step)
    keeper(tmp_path, most=2).look(view(tmp_path, {0: 0.1, 10: 0.5, 20: 0.7, 30: 0.3}))
    assert kept(tmp_path) == ["global_step_10", "global_step_20"]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "checkpoints-kept" / "global_step_5"
    theirs.mkdir(parents=True)
    save(tmp_path, 10)
    save(tmp_path, 20)
    keep = keeper(tmp_path)
    keep.look(view(tmp_path, {0: 0.1, 10: 0.5}))
    keep.look(view(tmp_path, {0: 0.1, 10: 0.5, 20: 0.9}))
    assert kept(tmp_path) == ["global_step_20", "global_step_5"]


def test_one_that_is_still_being_written_is_left_to_a_later_look(tmp_path: Path) -> None:
    save(tmp_path, 10)
    keep = Keeper(str(tmp_path / "checkpoints" / "global_step_{step}"), quiet=60.0)
    assert keep.look(view(tmp_path, {0: 0.1, 10: 0.5})) == []
    assert kept(tmp_path) == []


def test_one_that_vanishes_meanwhile_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 10)
    keep = keeper(tmp_path)
    keep.look(view(tmp_path, {0: 0.1, 10: 0.5}))
    doomed = save(tmp_path, 20)
    link = os.link

    def linked_then_deleted(src: str, dst: str, **options: bool) -> None:
        link(src, dst, **options)
        shutil.rmtree(doomed, ignore_errors=True)

    monkeypatch.setattr(os, "link", linked_then_deleted)
    lines = keep.look(view(tmp_path, {0: 0.1, 10: 0.5, 20: 0.9}))
    assert "changed while" in lines[0]
    assert kept(tmp_path) == ["global_step_10"]


def test_what_a_killed_watch_left_half_done_is_cleared(tmp_path: Path) -> None:
    half = tmp_path / "checkpoints-kept" / ".crestfall-under-way-1"
    half.mkdir(parents=True)
    save(tmp_path, 10)
    keeper(tmp_path).look(view(tmp_path, {0: 0.1, 10: 0.5}))
    assert kept(tmp_path) == ["global_step_10"]


def test_a_checkpoint_may_be_a_file_beside_the_log(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ckpt_7.pt").write_text("7")
    Keeper("out/ckpt_{step}.pt", quiet=0.0).look(view(tmp_path, {0: 0.1, 10: 0.5}))
    assert (tmp_path / "out-kept" / "ckpt_7.pt").read_text() == "7"


def test_one_beyond_the_last_evaluation_is_not_judged(tmp_path: Path) -> None:
    save(tmp_path, 50)
    assert keeper(tmp_path).look(view(tmp_path, {0: 0.1, 10: 0.5})) == []


@pytest.mark.parametrize("pattern", ["checkpoints", "{step}/{step}"])
def test_a_pattern_names_the_step_once(pattern: str) -> None:
    with pytest.raises(ConfigError, match="step"):
        Keeper(pattern)


@pytest.mark.parametrize("room", [0, 8, 40])
def test_a_full_disk_is_said_and_the_old_one_stays(room: int, tmp_path: Path, small_disk: Path) -> None:
    keep = Keeper(str(small_disk / "checkpoints" / "global_step_{step}"), quiet=0.0, copy=True)
    save(small_disk, 10)
    keep.look(view(tmp_path, {0: 0.1, 10: 0.5}))
    save(small_disk, 20, "x" * 60_000)
    with contextlib.suppress(OSError):
        for number in range(100):
            (small_disk / f"ballast{number}").write_bytes(b"x" * 4096)
    for number in range(room // 4):
        (small_disk / f"ballast{number}").unlink()
    (line,) = keep.look(view(tmp_path, {0: 0.1, 10: 0.5, 20: 0.9}))
    assert line == keep.failed
    assert line.endswith("not kept, and what was kept stays: No space left on device")
    assert kept(small_disk) == ["global_step_10"]
    for ballast in small_disk.glob("ballast*"):
        ballast.unlink()
    assert "kept step 20" in keep.look(view(tmp_path, {0: 0.1, 10: 0.5, 20: 0.9}))[0]
    assert keep.failed is None
    assert kept(small_disk) == ["global_step_20"]
