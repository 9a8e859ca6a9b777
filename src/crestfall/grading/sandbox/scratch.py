"""The folder that programs may write to: a new one for each, whatever the last one did to its own."""

from __future__ import annotations

import contextlib
import os
import stat

HOME = "home"  # in the scratch file system, which has no other entry while a program starts


def renew(root: str) -> str:
    """Remove all that lies below `root`, give it back its rights, and make the next program's folder; its path.

    Raises OSError where something cannot be removed.
    """
    home = os.path.join(root, HOME)
    os.chmod(root, 0o700)
    with contextlib.suppress(OSError):  # not there, not empty, or no folder: `_empty` sees to it
        os.rmdir(home)
    _empty(root)
    os.mkdir(home, 0o700)
    os.chmod(root, 0o500)  # nothing is to be written beside it
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
