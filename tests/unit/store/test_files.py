"""Files that are either the old or the new version: and what is no file is left what it is."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from crestfall.core.errors import RunDirectoryError
from crestfall.store.files import endless, write_atomic


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "file")  # to nothing yet
    for text in ("one", "two"):
        write_atomic(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / "file").read_text() == text
    assert os.listdir(tmp_path / "there") == ["file"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_atomic(tmp_path / "pipe", "text")
    reader.join(timeout=10)
    assert read == ["text"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_device_stays_one(tmp_path: Path) -> None:
    """As root, one could be replaced by a file, for everybody on the machine."""
    try:
        os.mknod(tmp_path / "full", 0o666 | stat.S_IFCHR, os.makedev(1, 7))
        (tmp_path / "full").open("w").close()
    except OSError:
        pytest.skip("NO DEVICE: only root may make one, on a file system that has them")
    with pytest.raises(RunDirectoryError, match="the disk is full"):
        write_atomic(tmp_path / "full", "text")
    assert stat.S_ISCHR((tmp_path / "full").stat().st_mode)
    assert endless(tmp_path / "full")


def test_devices_that_end() -> None:
    assert not endless(Path("/dev/null"))
    assert not endless(Path("/nowhere"))
    assert endless(Path("/dev/zero"))
