"""A limit on the threads of a program, which no resource limit gives: RLIMIT_NPROC counts a user's, and nobody's at all
for root. The kernel asks us before it makes or ends one (seccomp's user notification, Linux 5.5+)."""

from __future__ import annotations

import errno
import fcntl
import struct

from crestfall.grading.sandbox import linux, seccomp
from crestfall.grading.sandbox.syscalls import NUMBERS

MOST = 256

_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # ioctls
_REQUEST = struct.Struct("=QIIiIQ6Q")  # id, thread, flags, then seccomp_data: number, architecture, address, arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
_GO_ON = 1  # flag of an answer: make the call


class ThreadLimit:
    """Asked by this process's children, once `install` was called here.

    `listener`: a descriptor that is readable when there is something to `answer`; None where the kernel has no such
    thing, or does not let us.
    """

    def __init__(self) -> None:
        self.listener: int | None = None
        self._alive = 1
        self._clone = NUMBERS["clone"][linux.MACHINE]

    def install(self) -> None:
        """Needs no_new_privs."""
        prepared = seccomp.Prepared(seccomp.thread_filter())
        try:
            self.listener = prepared.install_by_call(_SET_MODE_FILTER, _NEW_LISTENER)
        except OSError:
            self.listener = None

    def begin(self) -> None:
        """The next program, which has one thread."""
        self._alive = 1

    def answer(self) -> None:
        """Let the program that waits go on, or tell it that there are no more threads (EAGAIN)."""
        assert self.listener is not None
        request = bytearray(_REQUEST.size)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, request)
            number, _, _, call, *_ = _REQUEST.unpack(request)
            error, flags = 0, _GO_ON
            if call != self._clone:
                self._alive -= 1
            elif self._alive < MOST:
                self._alive += 1
            else:
                error, flags = -errno.EAGAIN, 0
            fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(number, 0, error, flags))
        except OSError:  # it has died meanwhile
            return
