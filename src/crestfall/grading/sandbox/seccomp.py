"""System-call filters as classic BPF programs: what every sandboxed process may call, and what a program may not.

Two filters stack, the stricter answer wins. `base_filter` is installed once, in worker and zygote, and inherited: a
list of allowed calls; the rest is ENOSYS, or the end of the process where a call has no honest use here.
`contestant_filter` is installed by each program's process before its code: no new processes, no signals to others.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

from crestfall.grading.sandbox import linux
from crestfall.grading.sandbox.syscalls import (
    ABSENT,
    ALLOWED,
    AUDIT_ARCH,
    CHANGING,
    DEADLY,
    MAKING,
    NUMBERS,
    REFUSED,
    WRITING,
)

ENOSYS, EPERM, EACCES, ENOTSUP = 38, 1, 13, 95
ALLOW = 0x7FFF0000
KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS: the whole process dies of SIGSYS

ASK = 0x7FC00000  # SECCOMP_RET_USER_NOTIF: whoever holds the listener decides


def errno(code: int) -> int:
    """SECCOMP_RET_ERRNO: the call fails with this error and is not made."""
    return 0x00050000 | code


# struct seccomp_data: nr, arch, instruction_pointer, args[6]; each argument is two 32-bit words, low word first.
_NR, _ARCH, _ARGS = 0, 4, 16
_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_X32 = 0x40000000  # the x86-64 x32 call table: another way to every call

CLONE_THREAD = 0x00010000
AF_UNIX, SOCK_STREAM, SOCK_KIND = 1, 1, 0xF
O_WRITES = 0o1 | 0o2 | 0o100 | 0o1000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
# Other processes could be signalled through these: the kernel sends the owner of a descriptor a signal of one's choice.
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15
F_SETPIPE_SZ, F_NOTIFY = 1031, 1026
# Names, timer slack, and questions.
HARMLESS_PRCTL = (2, 3, 7, 15, 16, 21, 23, 29, 30, 38, 39, 40, 0x53564D41)
FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX = 0x8901, 0x8902, 0x5412, 0x541C
FS_SETFLAGS, FS_SETXATTR = 0x40086602, 0x401C5820  # flags of files, which their owner may set


@dataclass(frozen=True)
class Test:
    """One comparison with the low word of an argument; `action` is the answer where it holds."""

    arg: int
    code: int
    value: int
    action: int
    negate: bool = False


def _statement(code: int, value: int) -> bytes:
    return struct.pack("HBBI", code, 0, 0, value)


def _jump(code: int, value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


class Program:
    """A filter under construction. A call that no rule answers gets `default`."""

    def __init__(self, default: int) -> None:
        self._default = default
        self._code = [
            _statement(_LOAD, _ARCH),
            _jump(_JEQ, AUDIT_ARCH[linux.MACHINE], 1, 0),
            _statement(_RET, KILL),
            _statement(_LOAD, _NR),
            _jump(_JGE, _X32, 0, 1),
            _statement(_RET, KILL),
        ]

    def on(self, name: str, action: int) -> None:
        """Answer call `name` with `action`. Calls that this machine does not have are skipped."""
        number = NUMBERS[name].get(linux.MACHINE)
        if number is not None:
            self._code += [_jump(_JEQ, number, 0, 1), _statement(_RET, action)]

    def on_args(self, name: str, tests: list[Test], otherwise: int) -> None:
        """Answer by the first test that holds, else `otherwise`."""
        number = NUMBERS[name].get(linux.MACHINE)
        if number is None:
            return
        body: list[bytes] = []
        for test in tests:
            body.append(_statement(_LOAD, _ARGS + 8 * test.arg))
            body.append(_jump(test.code, test.value, 1 if test.negate else 0, 0 if test.negate else 1))
            body.append(_statement(_RET, test.action))
        body.append(_statement(_RET, otherwise))
        self._code += [_jump(_JEQ, number, 0, len(body)), *body]

    def assemble(self) -> bytes:
        return b"".join(self._code) + _statement(_RET, self._default)


def base_filter(may_write: bool) -> bytes:
    """Filter of the worker, the zygote and every program.

    Args:
        may_write: files may be opened for writing: there is a bounded scratch and nothing else to write to.
    """
    program = Program(default=errno(ENOSYS))
    program.on_args("socketpair", [Test(0, _JEQ, AF_UNIX, errno(EACCES), negate=True)], ALLOW)
    for name, commands in (
        ("fcntl", (F_SETOWN, F_SETSIG, F_SETOWN_EX)),
        ("ioctl", (FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX, FS_SETFLAGS, FS_SETXATTR)),
    ):
        program.on_args(name, [Test(1, _JEQ, command, errno(EPERM)) for command in commands], ALLOW)
    if not may_write:
        program.on_args("open", [Test(1, _JSET, O_WRITES, errno(EACCES))], ALLOW)
        program.on_args("openat", [Test(2, _JSET, O_WRITES, errno(EACCES))], ALLOW)
        for name in WRITING:
            program.on(name, errno(EACCES))
    for name in ALLOWED:
        program.on(name, ALLOW)
    for name in REFUSED:
        program.on(name, errno(EACCES))
    for name in ABSENT:
        program.on(name, errno(ENOTSUP))
    for name in DEADLY:
        program.on(name, KILL)
    return program.assemble()


def contestant_filter(pid: int, may_change: bool) -> bytes:
    """For one program's process, on top of the base: threads, but no processes; signals to itself alone.

    `may_change`: modes and times of files, which Landlock leaves to the owner: of Python's own files too, where these
    can be seen from outside a file system of our own. There nothing is changed, and no error is told: `shutil.copy`
    and `shelve` would end with it.

    A signal may carry the process's own `pid`; groups (0, negative), everybody (-1) and other processes are deadly.
    """
    program = Program(default=ALLOW)
    program.on_args("clone", [Test(0, _JSET, CLONE_THREAD, ALLOW)], KILL)
    program.on(
        "clone3", errno(ENOSYS)
    )  # its flags are in memory, out of a filter's sight: libc then falls back to clone
    program.on("fork", KILL)
    program.on("vfork", KILL)
    for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        program.on_args(name, [Test(0, _JEQ, pid, ALLOW)], KILL)
    program.on("tkill", KILL)
    for name in ("prlimit64", "sched_setaffinity"):
        program.on_args(name, [Test(0, _JEQ, 0, ALLOW), Test(0, _JEQ, pid, ALLOW)], errno(EPERM))
    for name in ("pidfd_open", "pidfd_send_signal", "wait4", "waitid", "seccomp"):
        program.on(name, errno(EPERM))
    for name in () if may_change else CHANGING:
        program.on(name, errno(0))
    program.on("memfd_create", errno(ENOSYS))  # memory that no limit counts
    program.on_args("fcntl", [Test(1, _JEQ, command, errno(EPERM)) for command in (F_SETPIPE_SZ, F_NOTIFY)], ALLOW)
    # Not the one that lets it outlive the grader, for one.
    program.on_args("prctl", [Test(0, _JEQ, option, ALLOW) for option in HARMLESS_PRCTL], errno(EPERM))
    for name in ("sendmsg", "recvmsg", "sendmmsg", "recvmmsg"):  # no descriptors, no addresses
        program.on(name, errno(EPERM))
    # A datagram pair could send to any address; a stream pair (which asyncio needs) cannot.
    kinds = [Test(1, _JEQ, SOCK_STREAM | flags, ALLOW) for flags in (0, 0o4000, 0o2000000, 0o2004000)]
    program.on_args("socketpair", kinds, errno(EACCES))
    return program.assemble()


def asking_filter(files: bool) -> bytes:
    """Ask before a thread is made, and tell when one ends. `files`: ask before a file is made or opened for writing."""
    program = Program(default=ALLOW)
    program.on_args("clone", [Test(0, _JSET, CLONE_THREAD, ASK)], ALLOW)
    program.on("exit", ASK)
    if files:
        program.on_args("open", [Test(1, _JSET, O_WRITES, ASK)], ALLOW)
        program.on_args("openat", [Test(2, _JSET, O_WRITES, ASK)], ALLOW)
        for name in MAKING:
            program.on(name, ASK)
    return program.assemble()


class SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Prepared:
    """A filter that lies ready in memory, so that a fork has little to do to install it.

    Args:
        mark: the 32-bit constant that `install` replaces by its argument.
    """

    def __init__(self, program: bytes, mark: int = 0) -> None:
        self._buffer = ctypes.create_string_buffer(program, len(program))
        self._fprog = SockFprog(len(program) // 8, ctypes.addressof(self._buffer))
        words = struct.iter_unpack("HBBI", program)
        self._places = [8 * index + 4 for index, (*_, value) in enumerate(words) if mark and value == mark]

    def install_by_call(self, operation: int, flags: int) -> int:
        """Install the filter by the system call, which can return a listener. Raises OSError."""
        number = NUMBERS["seccomp"][linux.MACHINE]
        return linux.syscall(
            number, ctypes.c_uint(operation), ctypes.c_uint(flags), ctypes.byref(self._fprog), what="seccomp"
        )

    def install(self, value: int = 0) -> None:
        """Bind this process (and what it forks) to the filter. Needs no_new_privs. It cannot be taken off again."""
        for place in self._places:
            struct.pack_into("I", self._buffer, place, value)
        linux.prctl(linux.PR_SET_SECCOMP, 2, ctypes.addressof(self._fprog))


def install(program: bytes) -> None:
    """Bind this process to a filter."""
    Prepared(program).install()
