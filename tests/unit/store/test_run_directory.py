from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
from crestfall.core.errors import InputError, RunDirectoryError
from crestfall.store import files
from crestfall.store.checkpoints import Checkpoints, flat
from crestfall.store.events import EventLog, Tail, read_events
from crestfall.store.files import write_atomic
from crestfall.store.lock import Lock
from crestfall.store.run_directory import RunDirectory
from crestfall.testbed.config import run_config
from crestfall.testbed.session import train


def run(path: Path, **over: Any) -> None:
    train(run_config(fakes.options(**over)), path, {})


def test_another_configuration_is_refused_by_its_first_keys(tmp_path: Path) -> None:
    run(tmp_path / "r")
    message = r"\(seed: 0 -> 5; campaign\.steps: 6 -> 7\); choose another directory with --out"
    with pytest.raises(RunDirectoryError, match=message):
        run(tmp_path / "r", campaign=fakes.options()["campaign"] | {"steps": 7}, seed=5)


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunDirectoryError, match="not empty and not a run directory"):
        run(tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with Lock(tmp_path):
        script = f"""
from pathlib import Path
from crestfall.core.errors import RunDirectoryError
from crestfall.store.lock import Lock
lock = Lock(Path({str(tmp_path)!r}))
assert lock.held_by_another()
try:
    lock.acquire(patience=0.1)
except RunDirectoryError as error:
    print(error)
"""
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert f"in use by another crestfall (process {os.getpid()})" in said
    with Lock(tmp_path):
        pass


def test_a_forked_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A grader child that outlives a killed trainer by a moment must not keep the directory closed."""
    script = f"""
import os, time
from pathlib import Path
from crestfall.store.lock import Lock
lock = Lock(Path({str(tmp_path)!r}))
lock.acquire()
pid = os.fork()
if pid == 0:
    os.close(1)
    time.sleep(30)
    os._exit(0)
print(pid, flush=True)
os.kill(os.getpid(), 9)
"""
    said = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    child = int(said.stdout)
    try:
        os.kill(child, 0)  # it lives
        Lock(tmp_path).acquire(patience=0)
    finally:
        os.kill(child, 9)


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write that a run makes is the one at which the disk is full once; then the same command again."""
    run(tmp_path / "whole")
    whole = timeless(tmp_path / "whole")
    real, left = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(files.os, "fsync", full)
    said = []
    for budget in range(1, 400, 7):
        left = budget
        try:
            run(tmp_path / "r")
        except RunDirectoryError as error:
            said.append(str(error))
        else:
            break
    assert len(said) > 3
    assert all("the disk is full" in line and "\n" not in line for line in said)
    assert timeless(tmp_path / "r") == whole
    assert not [p for p in (tmp_path / "r" / "checkpoints").iterdir() if p.name.endswith(".tmp")]


def timeless(path: Path) -> list[Any]:
    return [{k: v for k, v in e.items() if k not in ("time", "seconds")} for e in read_events(path / "events.jsonl")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunDirectoryError, match="cannot be written: Permission denied"):
        run(tmp_path / "r")


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "r").touch()
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        run(tmp_path / "r")


def test_a_broken_run_json_is_named(tmp_path: Path) -> None:
    run(tmp_path / "r")
    (tmp_path / "r" / "run.json").write_text("{")
    with pytest.raises(RunDirectoryError, match=r"run\.json: cannot be read"):
        run(tmp_path / "r")


def test_events_that_something_else_has_cut_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "r", chain={"campaigns": 1, "final": 10})
    log = tmp_path / "r" / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(RunDirectoryError, match="has 3 whole lines"), RunDirectory(tmp_path / "r") as directory:
        directory.open(json.loads((tmp_path / "r" / "run.json").read_text())["config"], {})


@pytest.mark.parametrize("tail", [b"", b'{"seq": 1, "ty', b'{"seq": 1}\n{"seq": 2}\n{"se', b"\x00\x00\x00"])
def test_reconcile_makes_the_log_end_with_the_last_commit(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq": 0}\n' + tail)
    EventLog(path).reconcile(3, ['{"seq": 1}', '{"seq": 2}'])
    assert path.read_bytes() == b'{"seq": 0}\n{"seq": 1}\n{"seq": 2}\n'


def test_reading_leaves_a_torn_last_line_out_and_names_a_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"seq": 0}\n{"seq": 1')
    assert list(read_events(path)) == [{"seq": 0}]
    path.write_text('{"seq": 0}\nrubbish\n{"seq": 2}\n')
    with pytest.raises(InputError, match=r"events\.jsonl:2: not JSON"):
        list(read_events(path))
    assert list(read_events(tmp_path / "none")) == []


def test_a_tail_sees_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert tail.new() == []
    path.write_text('{"seq": 0}\n{"seq"')
    assert tail.new() == [{"seq": 0}]
    with path.open("a") as file:
        file.write(": 1}\n")
    assert tail.new() == [{"seq": 1}]
    assert tail.new() == []


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunDirectoryError, match="the disk is full"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_snapshot_without_done_is_not_loaded(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("a", {"policy": {"w": np.arange(3.0)}})
    assert checkpoints.load("a")["policy"]["w"].tolist() == [0.0, 1.0, 2.0]
    (tmp_path / "a" / "DONE").unlink()
    with pytest.raises(RunDirectoryError, match="missing or incomplete"):
        checkpoints.load("a")


def test_links_follow_and_prune_spares_what_is_named(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for name in ("a", "b"):
        checkpoints.save(name, {"w": np.zeros(2)})
        checkpoints.point({"last": name})
    (tmp_path / ".c.tmp").mkdir()
    checkpoints.prune(["b"])
    assert sorted(os.listdir(tmp_path)) == ["b", "last"]
    assert os.readlink(tmp_path / "last") == "b"


def test_torch_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    checkpoints = Checkpoints(tmp_path)
    snapshot = {"policy": {"w": torch.randn(3, generator=torch.Generator().manual_seed(0)).bfloat16()}}
    checkpoints.save("a", snapshot)
    assert torch.equal(checkpoints.load("a")["policy"]["w"], snapshot["policy"]["w"])


def test_sections_come_back_as_they_were_and_a_slash_in_a_name_is_refused(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(
        "a", {"policy": {"w": np.ones(1)}, "average": {"weights": {"w": np.zeros(1)}, "count": np.ones(1)}}
    )
    assert sorted(dict(flat(checkpoints.load("a")))) == ["average/count", "average/weights/w", "policy/w"]
    with pytest.raises(ValueError, match="whose name has a slash"):
        checkpoints.save("b", {"policy": {"a/b": np.ones(1)}})


def test_a_disk_that_is_really_full(tmp_path: Path, small_disk: Path) -> None:
    """Every room that is left, from none on, until the run fits; then nothing differs from a run with all the room."""
    options = fakes.options(policy={"name": "fake", "size": 2000})  # 32 kB a snapshot
    train(run_config(options), tmp_path / "whole", {})
    ballast, said = small_disk / "ballast", []
    for room in range(0, 256, 12):
        ballast.write_bytes(b"")
        taken = sum(p.stat().st_size for p in small_disk.rglob("*") if p.is_file() and not p.is_symlink()) // 1024
        with suppress(OSError):
            ballast.write_bytes(b"x" * 1024 * max(0, 240 - taken - room))
        try:
            train(run_config(options), small_disk / "r", {})
        except RunDirectoryError as error:
            said.append(str(error))
    assert said
    assert all("the disk is full" in line and "\n" not in line for line in said)
    assert timeless(small_disk / "r") == timeless(tmp_path / "whole")
