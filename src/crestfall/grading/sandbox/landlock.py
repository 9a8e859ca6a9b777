"""Landlock: which files a process may touch, by path, without any right to begin with. Linux 5.13+; see landlock(7)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from crestfall.grading.sandbox import linux

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every machine
_VERSION = 1  # flag of create_ruleset: only say which version of the interface this kernel has
_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
# What each version of the interface added to the file rights that can be handled: 13 at first, then refer, truncate,
# ioctl_dev.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_SINCE, _SCOPE_SINCE = 4, 6
_ONLY_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | (1 << 14) | (1 << 15)  # + truncate, ioctl_dev


class _RulesetAttr(ctypes.Structure):
    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def version() -> int:
    """The version of Landlock that this kernel has; 0: none."""
    try:
        return linux.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    except OSError:
        return 0


def restrict(readable: Iterable[str], writable: Iterable[str], listable: Iterable[str] = ()) -> int:
    """Let this process and its children read below `readable`, read and write below `writable`, list the directories
    below `listable`, and touch no other file.

    From version 4 on TCP is refused too, from version 6 on abstract sockets and signals to processes outside. Paths
    that do not exist are skipped.

    Returns the version in force. Raises OSError.
    """
    abi = version()
    handled = (1 << _FILE_RIGHTS[min(abi, 5)]) - 1
    attr = _RulesetAttr(handled, 3 if abi >= _NETWORK_SINCE else 0, 3 if abi >= _SCOPE_SINCE else 0)
    size = 24 if abi >= _SCOPE_SINCE else 16 if abi >= _NETWORK_SINCE else 8
    ruleset = linux.syscall(
        _CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(size), ctypes.c_uint32(0), what="landlock"
    )
    for path in readable:
        _allow(ruleset, path, READ_FILE | READ_DIR)
    for path in listable:
        _allow(ruleset, path, READ_DIR)
    for path in writable:
        _allow(ruleset, path, handled & ~EXECUTE)
    linux.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0), what="landlock")
    os.close(ruleset)
    return abi


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _ONLY_ON_FILES
    attr = _PathBeneathAttr(rights, fd)
    linux.syscall(
        _ADD_RULE,
        ctypes.c_int(ruleset),
        ctypes.c_int(_PATH_BENEATH),
        ctypes.byref(attr),
        ctypes.c_uint32(0),
        what=f"landlock {path}",
    )
    os.close(fd)
