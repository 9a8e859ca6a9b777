"""The folder that programs may write to: a new one for each, whatever the last one did to its own."""

from __future__ import annotations

import contextlib
import os
import stat

HOME = "home"  # in the scratch file system, which has no other entry while a program starts


class Scratch:
    """Args: `root`: a file system of its own, so that nothing else lies there."""

    def __init__(self, root: str) -> None:
        self._root, self.home = root, os.path.join(root, HOME)
        self._untouched: tuple[int, ...] = ()

    def renew(self) -> None:
        """Remove all that lies below the root, give it back its rights, and make the next program's folder: unless the
        last program has not touched the one there is.

        Raises OSError where something cannot be removed.
        """
        if self._state() == self._untouched:
            return
        os.chmod(self._root, 0o700)
        with contextlib.suppress(OSError):  # not there, not empty, or no folder: `_empty` sees to it
            os.rmdir(self.home)
        _empty(self._root)
        os.mkdir(self.home, 0o700)
        os.chmod(self._root, 0o500)  # nothing is to be written beside it
        self._untouched = self._state()

    def _state(self) -> tuple[int, ...]:
        """What changes with anything that is done to root or folder: tmpfs counts entries in the size."""
        parts: list[int] = []
        for path in (self._root, self.home):
            try:
                at = os.lstat(path)
            except OSError:
                return (0,)
            parts += (at.st_ino, at.st_mode, at.st_size, at.st_nlink, at.st_mtime_ns, at.st_atime_ns, at.st_ctime_ns)
        return tuple(parts)


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
