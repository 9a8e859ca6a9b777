"""A worker: sets up the isolation, forks the zygote, then grades what the trainer's side sends, one program at a time.

Frames on the control socket are length-prefixed: marshalled from the trainer (which is trusted), JSON to it. The first
frame holds the settings, the answer the isolation layers in force; then lists of `("plan", id, plan)`, `("forget", id)`
and
`("grade", job id, plan id, source)`, answered by lists of `[job id, verdict, detail, cpu seconds, final, more]`.
"""

from __future__ import annotations

import json
import marshal
import os
import resource
import signal
import socket
import sys
import time
from typing import Any

from crestfall.grading.sandbox import confine, linux
from crestfall.grading.sandbox.frames import Frames
from crestfall.grading.sandbox.keeper import JudgeLimits, Keeper
from crestfall.grading.sandbox.outcome import Outcome
from crestfall.grading.sandbox.program import ZygoteDied
from crestfall.grading.sandbox.supervisor import MOST
from crestfall.grading.sandbox.zygote import READY_COUNTING, Zygote

FLUSH_SECONDS = 0.02
MAX_DETAIL = 240

RIGHT = "def f(x):\n    return x\n"
RIGHT_PLAN = {
    "kind": "calls",
    "entry": "f",
    "cases": [((1,), {}, 1)],
    "compare": "exact",
    "tolerance": 0.0,
    "in_place": False,
    "header": "",
    "per_test": False,
    "reference": None,
    "oracle": "",
    "base": None,
}


def printable(text: str) -> str:
    """One line without control characters, surrogates or escapes, bounded."""
    line = "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text[:1000])
    return line if len(line) <= MAX_DETAIL else f"{line[: MAX_DETAIL - 1]}…"


class Link:
    """The control socket."""

    def __init__(self, fd: int) -> None:
        self._frames = Frames(socket.socket(fileno=fd))

    def fileno(self) -> int:
        return self._frames.fileno()

    def receive(self) -> Any:
        body = self._frames.get()
        if body is None:
            os._exit(0)  # the trainer is gone; zygote, judge and program go with us
        return marshal.loads(body)

    def send(self, message: Any) -> None:
        self._frames.put(json.dumps(message).encode())

    def close(self) -> None:
        self._frames.close()


def start_zygote(confinement: confine.Confinement, link: Link) -> socket.socket:
    """Fork the zygote; the socket to it.

    Where it gets process numbers of its own, a process between is its parent: whoever asks for such a namespace can
    fork into it alone, and judges do not belong there.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            ours.close()
            link.close()
            if confinement.own_pids:
                linux.unshare(linux.CLONE_NEWPID)
                if child := os.fork():
                    theirs.close()
                    confinement.seal()
                    os.waitpid(child, 0)
                    os._exit(0)
                linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            zygote = Zygote(theirs, confinement.settings)
            confinement.seal()
            zygote.serve()
        except BaseException as error:
            print(f"zygote: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(71)
    theirs.close()
    return ours


def serve(link: Link, keeper: Keeper) -> None:
    while True:
        jobs: list[tuple[int, int, str]] = []
        forgotten: list[int] = []
        for kind, number, *rest in link.receive():
            if kind == "plan":
                keeper.plan(number, rest[0])
            elif kind == "forget":
                forgotten.append(number)
            else:
                jobs.append((number, rest[0], rest[1]))
        replies: list[tuple[Any, ...]] = []
        flushed = time.monotonic()
        try:
            for number, outcome in keeper.grade(jobs):
                replies.append(answer(number, outcome))
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    link.send(replies)
                    replies, flushed = [], time.monotonic()
        except ZygoteDied:  # with what has been graded in safety, the first job without an answer is to blame
            link.send(replies)
            os._exit(74)
        if replies:
            link.send(replies)
        for number in forgotten:
            keeper.forget(number)


def answer(number: int, outcome: Outcome) -> tuple[Any, ...]:
    """Five fields, and the rest where there is more to tell than the verdict."""
    rest = {
        "failed": [(name, verdict, printable(text)) for name, verdict, text in outcome.tests if verdict != "passed"],
        "run": len(outcome.tests),
        "total": outcome.total,
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
    }
    verdict = (number, outcome.verdict, printable(outcome.detail), outcome.cpu_seconds, outcome.final)
    return (*verdict, {name: value for name, value in rest.items() if value})


def reset_signals() -> None:
    """Restore default signal handling. A trainer's ignored or blocked signals are inherited, and programs, and waiting
    for them, rely on the defaults."""
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) is signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def check_surroundings(output_bytes: int) -> None:
    """Undo what a trainer's own surroundings would do to us, or say what we cannot undo. Raises OSError."""
    os.umask(0o022)
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, 256), files))
    _, size = resource.getrlimit(resource.RLIMIT_FSIZE)
    if size != resource.RLIM_INFINITY and size < output_bytes:
        raise OSError(f"this process may write files of {size} bytes (ulimit -f), and output_bytes is {output_bytes}")


def try_out(keeper: Keeper) -> None:
    """Grade a right program: where this works, what breaks later is broken by a program. Raises RuntimeError."""
    keeper.plan(0, RIGHT_PLAN)
    ((_, outcome),) = keeper.grade([(0, 0, RIGHT)])
    keeper.forget(0)
    if outcome.verdict != "passed":
        raise RuntimeError(f"a right program is graded {outcome.verdict}: {outcome.detail}")


def main(control: int) -> None:
    reset_signals()
    link = Link(control)
    options = link.receive()
    check_surroundings(options["output_bytes"])
    base = linux.address_space()
    confinement = confine.enter(options)
    zygote = start_zygote(confinement, link)
    confinement.seal()
    if not (ready := zygote.recv(64)):
        os._exit(72)
    if ready == READY_COUNTING:
        confinement.layers["threads"] = f"at most {MOST}"
    keeper = Keeper(zygote, confinement.settings, JudgeLimits.of(confinement.settings, base), link.close, link.fileno())
    try_out(keeper)
    os.dup2(1, 2)  # complaints about the start are over; 1 is /dev/null
    link.send({"layers": confinement.layers})
    serve(link, keeper)
