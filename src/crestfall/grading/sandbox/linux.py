"""The few Linux calls that Python's standard library does not have, through libc. Every one raises OSError on
failure."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import time
from collections.abc import Callable

from crestfall.grading.sandbox.syscalls import NUMBERS

_libc = ctypes.CDLL(None, use_errno=True)
_libc_with_interpreter = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter lock during a call

MACHINE = platform.machine()

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

_CAPABILITY_VERSION_3 = 0x20080522


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def syscall(number: int, *args: object, what: str = "") -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *args), what or f"system call {number}")


def prctl(option: int, *args: int) -> int:
    words = [ctypes.c_ulong(word) for word in (*args, 0, 0, 0, 0)[:4]]
    return _check(_libc.prctl(option, *words), f"prctl {option}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), f"unshare {flags:#x}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    code = _libc.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), options.encode() or None
    )
    _check(code, f"mount {target}")


def unmount(target: str) -> None:
    """Lazily: open files keep it alive, names are gone."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    syscall(NUMBERS["pivot_root"][MACHINE], new_root.encode(), put_old.encode(), what="pivot_root")


def drop_capabilities() -> None:
    """Empty all capability sets of this process, for good: nothing that it execs or forks gets any back."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # EINVAL past the last one; EPERM without CAP_SETPCAP, where there is nothing to drop either
            break
    prctl(PR_CAP_AMBIENT, 4)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    empty = (ctypes.c_uint32 * 6)()
    syscall(NUMBERS["capset"][MACHINE], header, empty, what="capset")


def limit(what: int, value: int, grace: int = 0) -> None:
    """Set a resource limit for good, to less where this process was given less. `grace`: from soft to hard limit."""
    _, most = resource.getrlimit(what)
    most = value + grace if most == resource.RLIM_INFINITY else min(value + grace, most)
    resource.setrlimit(what, (min(value, most), most))


def address_space() -> int:
    """Bytes of address space that this process has, and room for what it has not imported yet."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
    except OSError:  # a container without /proc
        return 512 << 20
    return pages * resource.getpagesize() + (128 << 20)


def plain_fork() -> int:
    """`fork` without what Python does after it on behalf of threads that are no longer there: for a process that has
    one thread only. What a hook of a module does for the fork itself (`random` takes a new seed) is left to the caller.
    """
    return _check(_libc_with_interpreter.fork(), "fork")


def patient_fork(seconds: float, fork: Callable[[], int] = os.fork) -> int:
    """`fork`, tried again where the system has no process to give (a limit of the user's, or of the container). Raises
    OSError."""
    end = time.monotonic() + seconds
    while True:
        try:
            return fork()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
