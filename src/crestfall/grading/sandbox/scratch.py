"""The folder that programs may write to: a new one for each, whatever the last one did to its own."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time

from crestfall.grading.sandbox import linux

HOME = "home"  # in the scratch file system, which has no other entry while a program starts
GRACE_SECONDS = 0.1  # within which the kernel ends a program whose zygote has died


class Scratch:
    """Args: `home`: in a file system of its own, which has nothing else; or a private folder, whose parent no program
    may change."""

    def __init__(self, home: str) -> None:
        self.home = home
        self._root = os.path.dirname(home) if os.path.basename(home) == HOME else home
        self._untouched: tuple[int, ...] = ()

    def renew(self, touched: bool = False) -> None:
        """Remove all that the last program has left, and make the next program's folder: unless it has not touched the
        one there is. `touched`: it has, whatever the clock of the file system tells.

        Raises OSError where something cannot be removed.
        """
        if not touched and self._state() == self._untouched:
            return
        os.chmod(self._root, 0o700)
        if self._root != self.home:
            with contextlib.suppress(OSError):  # not there, not empty, or no folder: `_empty` sees to it
                os.rmdir(self.home)
        _empty(self._root)
        if self._root != self.home:
            os.mkdir(self.home, 0o700)
            os.chmod(self._root, 0o500)  # nothing is to be written beside it
        os.utime(self.home, (0, 0))
        self._untouched = self._state()

    def used(self) -> int:
        """Bytes in the folder."""
        total = 0
        for path, _, names in os.walk(self.home):
            for name in names:
                with contextlib.suppress(OSError):  # gone meanwhile
                    total += os.lstat(os.path.join(path, name)).st_size
        return total

    def _state(self) -> tuple[int, ...]:
        """Fingerprint that changes with any change to root or folder: tmpfs counts entries in the size."""
        parts: list[int] = []
        for path in (self._root, self.home):
            try:
                at = os.lstat(path)
            except OSError:
                return (0,)
            parts += (at.st_ino, at.st_mode, at.st_size, at.st_nlink, at.st_mtime_ns, at.st_atime_ns, at.st_ctime_ns)
        return tuple(parts)


def private_folder() -> str | None:
    """A new folder for where there is no file system of our own; it is gone soon after this process, and those that it
    forks, have ended, however they end. None where there is no place for it.

    A process of its own waits for that: this one may be killed, and will have no right to remove the folder.
    """
    import tempfile  # nothing that programs need where there is a file system of their own

    try:
        home = tempfile.tempdir = tempfile.mkdtemp(prefix="crestfall-")
    except OSError:
        return None
    reader, _writer = os.pipe()  # held by this process and its forks, closed by nobody
    if os.fork() == 0:
        try:
            os.setsid()
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            linux.prctl(linux.PR_SET_DUMPABLE, 0)
            os.dup2(reader, 0)
            os.closerange(1, 1024)
            os.read(0, 1)
            time.sleep(GRACE_SECONDS)
            _empty(home)
            os.rmdir(home)
        finally:
            os._exit(0)
    os.close(reader)
    return home


def _empty(root: str) -> None:
    """Folders are emptied into `root` level by level: no path grows long, no recursion grows deep, whatever was nested
    in what."""
    number = 0
    while names := os.listdir(root):
        for name in names:
            path = os.path.join(root, name)
            if not _is_folder(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for child in os.listdir(path):
                lower = os.path.join(path, child)
                if not _is_folder(lower):
                    os.unlink(lower)
                    continue
                os.chmod(lower, 0o700)  # a folder without its owner's rights cannot be moved
                while os.path.lexists(target := os.path.join(root, f"{number}")):
                    number += 1
                os.rename(lower, target)
            os.rmdir(path)


def _is_folder(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)
