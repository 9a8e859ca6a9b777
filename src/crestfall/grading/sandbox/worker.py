"""A worker: sets up the isolation, forks the zygote, then grades what the trainer's side sends, one program at a time.

Frames on the control socket are length-prefixed: marshalled from the trainer (which is trusted), JSON to it. The first
frame holds the settings, the answer the isolation layers in force; then lists of `("plan", id, plan)`, `("forget", id)`
and
`("grade", job id, plan id, source)`, answered by lists of `[job id, verdict, detail, cpu seconds, final]`.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
import socket
import sys
import time
from typing import Any

from crestfall.grading.sandbox import confine, linux
from crestfall.grading.sandbox.judge import Judge, Outcome, Overtime
from crestfall.grading.sandbox.zygote import Zygote

FLUSH_SECONDS = 0.02
MAX_DETAIL = 240


def _overtime(signum: int, frame: object) -> None:
    raise Overtime


def printable(text: str) -> str:
    """One line without control characters, surrogates or escapes, bounded."""
    line = "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text[:1000])
    return line if len(line) <= MAX_DETAIL else f"{line[: MAX_DETAIL - 1]}…"


class Link:
    """The control socket."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)

    def receive(self) -> Any:
        size = int.from_bytes(self._exactly(8), "little")
        return marshal.loads(self._exactly(size))

    def _exactly(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            chunk = self._socket.recv(min(size - len(data), 1 << 20))
            if not chunk:
                os._exit(0)  # the trainer is gone; zygote and program go with us
            data += chunk
        return data

    def send(self, message: Any) -> None:
        body = json.dumps(message).encode()
        self._socket.sendall(len(body).to_bytes(8, "little") + body)

    def close(self) -> None:
        self._socket.close()


def start_zygote(confinement: confine.Confinement, link: Link) -> socket.socket:
    """Fork the zygote; the socket to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        try:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            ours.close()
            link.close()
            zygote = Zygote(theirs, confinement.settings)
            confinement.seal()
            zygote.serve()
        except BaseException as error:
            print(f"zygote: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(71)
    theirs.close()
    return ours


def serve(link: Link, judge: Judge, patience: float) -> None:
    plans: dict[int, dict[str, Any]] = {}
    signal.signal(signal.SIGPROF, _overtime)
    while True:
        replies: list[tuple[int, str, str, float, bool]] = []
        flushed = time.monotonic()
        for kind, number, *rest in link.receive():
            if kind == "plan":
                plans[number] = rest[0]
            elif kind == "forget":
                del plans[number]
            else:
                outcome = grade(judge, rest[1], plans[rest[0]], patience)
                replies.append((number, outcome.verdict, printable(outcome.detail), outcome.cpu_seconds, outcome.final))
                if time.monotonic() - flushed > FLUSH_SECONDS:
                    link.send(replies)
                    replies, flushed = [], time.monotonic()
        if replies:
            link.send(replies)


def grade(judge: Judge, source: str, plan: dict[str, Any], patience: float) -> Outcome:
    """With a CPU-time alarm on our own work."""
    signal.setitimer(signal.ITIMER_PROF, patience)
    try:
        return judge.grade(source, plan)
    except Overtime:
        judge.abandon()
        return Outcome("time_limit", f"comparing what it gave took more than {patience:.0f} s")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main(control: int) -> None:
    link = Link(control)
    options = link.receive()
    confinement = confine.enter(options)
    zygote = start_zygote(confinement, link)
    confinement.seal()
    if zygote.recv(16) != b"ready":
        os._exit(72)
    os.dup2(1, 2)  # complaints about the start are over; 1 is /dev/null
    link.send({"layers": confinement.layers})
    serve(link, Judge(zygote, confinement.settings), options["cpu_seconds"] + 1)
