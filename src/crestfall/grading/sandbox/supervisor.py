"""Limits on a program that no resource limit gives: its threads (RLIMIT_NPROC counts a user's, and nobody's at all for
root), and the files that it writes where no file system of its own bounds them. The kernel asks us before it makes the
call (seccomp's user notification, Linux 5.5+)."""

from __future__ import annotations

import errno
import fcntl
import struct
from collections.abc import Callable

from crestfall.grading.sandbox import linux, seccomp
from crestfall.grading.sandbox.syscalls import NUMBERS

MOST = 256  # threads that are alive, and times that a file is made or opened for writing

_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # ioctls
_REQUEST = struct.Struct("=QIIiIQ6Q")  # id, thread, flags, then seccomp_data: number, architecture, address, arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
_GO_ON = 1  # flag of an answer: make the call


class Supervisor:
    """Asked by this process's children, once `install` was called here.

    `listener`: a descriptor that is readable when there is something to `answer`; None where the kernel has no such
    thing, or does not let us. `files`: how often the program has made a file, or opened one for writing.

    Args:
        room: says whether the program may write another file.
    """

    def __init__(self, room: Callable[[], bool]) -> None:
        self.listener: int | None = None
        self.files = 0
        self._room = room
        self._alive = 1
        self._clone, self._exit = (NUMBERS[name][linux.MACHINE] for name in ("clone", "exit"))

    def install(self, files: bool) -> None:
        """Needs no_new_privs. From here on this process makes no threads, and no files where `files` are asked for."""
        prepared = seccomp.Prepared(seccomp.asking_filter(files))
        try:
            self.listener = prepared.install_by_call(_SET_MODE_FILTER, _NEW_LISTENER)
        except OSError:
            self.listener = None

    def begin(self) -> None:
        """The next program, which has one thread and no files."""
        self._alive, self.files = 1, 0

    def answer(self) -> None:
        """Let the program that waits go on, or tell it that there is no more: threads (EAGAIN), room (ENOSPC)."""
        assert self.listener is not None
        request = bytearray(_REQUEST.size)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, request)
            number, _, _, call, *_ = _REQUEST.unpack(request)
            refusal = self._decide(call)
            flags = 0 if refusal else _GO_ON
            fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(number, 0, -refusal, flags))
        except OSError:  # it has died meanwhile
            return

    def _decide(self, call: int) -> int:
        """The error that a call is to fail with; 0: none."""
        if call == self._exit:
            self._alive -= 1
        elif call == self._clone:
            if self._alive >= MOST:
                return errno.EAGAIN
            self._alive += 1
        else:
            self.files += 1
            if self.files > MOST or not self._room():
                return errno.ENOSPC
        return 0
