"""The judge in a process of its own, with limits on its memory and time: what a program's values do to the process that
compares them is that program's verdict, and the worker goes on with the next program.

    worker (keeper) --socket--> judge: ("plan", number, plan) | ("forget", number) | ("grade", number, source)
                    <--socket-- [the fields of the outcome, leaving]
"""

from __future__ import annotations

import json
import marshal
import os
import resource
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from crestfall.grading.sandbox import linux
from crestfall.grading.sandbox.frames import Frames
from crestfall.grading.sandbox.judge import Judge
from crestfall.grading.sandbox.outcome import Outcome
from crestfall.grading.sandbox.pace import longest
from crestfall.grading.sandbox.program import ZygoteDied
from crestfall.grading.sandbox.runner import signal_name
from crestfall.grading.sandbox.zygote import FORK_SECONDS, SYNC, Settings

NO_ZYGOTE = 73  # exit code of a judge whose zygote has ended
GROWN_KIB = 128 << 10  # a judge that a program's values have blown up by this much makes room for a new one
SLACK_SECONDS = 60.0
AHEAD, SMALL = 2, 1 << 14  # programs that a judge is given at a time; characters of those that are sent ahead


@dataclass(frozen=True)
class JudgeLimits:
    """`memory_bytes`: address space. `cpu_seconds`: for one program. `wall_seconds`: for one run of a program, after
    which the judge hangs: it is only reached where tests sleep or wait for ever."""

    memory_bytes: int
    cpu_seconds: float
    wall_seconds: float

    @classmethod
    def of(cls, settings: Settings, base_bytes: int) -> JudgeLimits:
        wall = longest(settings.cpu_seconds, settings.wall_seconds) + SLACK_SECONDS
        return cls(base_bytes + settings.memory_bytes, settings.cpu_seconds + 1, wall)


class Keeper:
    """Keeps one judge process running.

    Args:
        zygote: the socket of the zygote, which the judge talks to.
        forget: what a judge must not hold: called in its process before anything else.
        gone: a descriptor whose hang-up means that nobody waits for verdicts any more.
    """

    def __init__(
        self, zygote: socket.socket, settings: Settings, limits: JudgeLimits, forget: Callable[[], None], gone: int
    ) -> None:
        self._zygote, self._settings, self._limits, self._forget = zygote, settings, limits, forget
        self._plans: dict[int, dict[str, Any]] = {}
        self._pid = 0
        self._frames: Frames | None = None
        self._gone = gone

    def plan(self, number: int, data: dict[str, Any]) -> None:
        self._plans[number] = data
        self._tell(("plan", number, data))

    def forget(self, number: int) -> None:
        del self._plans[number]
        self._tell(("forget", number))

    def grade(self, jobs: Iterable[tuple[Any, int, str]]) -> Iterator[tuple[Any, Outcome]]:
        """(job, plan number, source) to (job, outcome), in order. Raises ZygoteDied.

        The judge has the next program at hand while it works at one, so that it does not wait for us.
        """
        left = deque(jobs)
        sent = 0
        while left:
            if self._frames is None:
                sent = 0
                if (fault := self._start()) is not None:
                    yield left.popleft()[0], fault
                    continue
            for _, number, source in islice(left, sent, AHEAD):
                if sent and len(source) > SMALL:
                    break  # it would fill the socket, and nobody would read what the judge has to say
                self._tell(("grade", number, source))
                sent += 1
            job, number, _ = left[0]
            outcome = self._await(number)
            sent -= 1
            left.popleft()
            yield job, outcome

    def _await(self, number: int) -> Outcome:
        """Wait for the outcome of the program that the judge is running."""
        frames, plan = self._frames, self._plans[number]
        assert frames is not None
        clock = (~self._pid << 3) | 2  # the CPU-time clock of that process, see clock_getcpuclockid(3)
        limit = time.clock_gettime(clock) + self._limits.cpu_seconds
        runs = len(plan.get("cases", ())) or 1
        wall = self._limits.wall_seconds + longest(plan.get("cpu_seconds") or 0.0, 0.0)
        end = time.monotonic() + runs * wall
        poll = select.poll()
        poll.register(frames, select.POLLIN)
        poll.register(self._gone, 0)
        while True:
            left = limit - time.clock_gettime(clock)
            ready = {fd for fd, _ in poll.poll(max(10.0, left * 1000))}
            if self._gone in ready:
                os._exit(0)
            if ready:
                reply = frames.get()
                if reply is None:
                    return self._ended()
                *outcome, leaving = json.loads(reply)
                if leaving:
                    self._drop()
                return Outcome(*outcome)
            if time.clock_gettime(clock) >= limit:
                self._drop()
                return Outcome("time_limit", f"comparing what it gave took more than {self._limits.cpu_seconds:.0f} s")
            if time.monotonic() > end:
                self._drop()
                return Outcome("time_limit", "the tests neither end nor compute", final=False)

    def _tell(self, message: tuple[Any, ...]) -> None:
        if self._frames is not None:
            self._frames.put(marshal.dumps(message))

    def _ended(self) -> Outcome:
        """The judge died of what it was comparing."""
        status = self._drop()
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == NO_ZYGOTE:
            raise ZygoteDied
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:  # by the kernel, which is out of memory
            return Outcome("memory_limit", "comparing what it gave took more memory than there is", final=False)
        if os.WIFSIGNALED(status):
            how = signal_name(os.WTERMSIG(status))
            return Outcome("wrong_answer", f"what it gave cannot be compared: the comparison died of {how}")
        return Outcome("infra", f"the grader's judge ended with exit code {os.WEXITSTATUS(status)}", final=False)

    def _drop(self) -> int:
        """End the judge, and the program that it has left running; its wait status."""
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self._settle_zygote()
        assert self._frames is not None
        self._frames.close()
        self._pid, self._frames = 0, None
        return status

    def _settle_zygote(self) -> None:
        """End the processes that a judge left running and drop its unread reports, before the next judge starts."""
        try:
            for message in (b"end it", SYNC):
                self._zygote.send(message)
            while self._zygote.recv(64) not in (SYNC, b""):
                pass
        except OSError as error:
            raise ZygoteDied from error

    def _start(self) -> Outcome | None:
        """Fork a judge; an outcome where the system has no process to give."""
        ours, theirs = socket.socketpair()
        try:
            self._pid = linux.patient_fork(FORK_SECONDS)
        except OSError as error:
            ours.close()
            theirs.close()
            return Outcome("infra", f"no process can be started for the judge: {error.strerror}", final=False)
        if self._pid == 0:
            try:
                linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
                ours.close()
                self._forget()
                self._serve(Frames(theirs))
            except ZygoteDied:
                os._exit(NO_ZYGOTE)
            finally:
                os._exit(70)
        theirs.close()
        self._frames = Frames(ours)
        return None

    def _serve(self, frames: Frames) -> None:
        """Main loop of the judge's process; ends when the keeper hangs up or the judge has grown too large."""
        os.dup2(1, 2)  # tests may print; 1 is /dev/null
        linux.limit(resource.RLIMIT_AS, self._limits.memory_bytes)
        judge = Judge(self._zygote, self._settings)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + GROWN_KIB
        while (message := frames.get()) is not None:
            kind, number, *rest = marshal.loads(message)
            if kind == "plan":
                self._plans[number] = rest[0]
            elif kind == "forget":
                del self._plans[number]
            else:
                outcome = _graded(judge, rest[0], self._plans[number])
                leaving = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > most
                frames.put(json.dumps([*vars(outcome).values(), leaving]).encode())
                if leaving:
                    os._exit(0)


def _graded(judge: Judge, source: str, plan: dict[str, Any]) -> Outcome:
    """Whatever breaks is the program's doing, but for what the system refuses us. Raises ZygoteDied."""
    try:
        return judge.grade(source, plan)
    except ZygoteDied:
        raise
    except OSError as error:
        judge.abandon()
        return Outcome("infra", f"the grader could not run it: {error}", final=False)
    except MemoryError:
        judge.abandon()
        return Outcome("memory_limit", "comparing what it gave took more memory than a program may use")
    except Exception as error:
        judge.abandon()
        return Outcome("wrong_answer", f"what it gave cannot be compared: {type(error).__name__}: {error}")
