"""CodeGrader: (problem, program) pairs in, verdicts out. The trainer's side: equal pairs once, a cache, a pool,
retries."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

import crestfall
from crestfall.core.errors import CrestfallWarning
from crestfall.core.types import Grade, Problem, Verdict
from crestfall.grading.dispatch import Dispatcher
from crestfall.grading.jobs import Batch, Cache, Job, Statistics
from crestfall.grading.limits import Limits
from crestfall.grading.plans import Plan, plan_of
from crestfall.grading.progress import progress_bar

__all__ = ["CodeGrader", "Statistics"]

MAX_PLANS, MAX_PLAN_BYTES = 4096, 256 << 20
"""Number and bytes of the prepared tests that are kept, beside those of the current batch."""


class CodeGrader:
    """Judges programs against the tests of problems, each program in a fresh confined process.

    Use it as a context manager, or call `close`. Workers start with the first program and stay until then. Any number
    of threads and coroutines may use one grader at a time; they share its workers. In a forked process it has workers
    of its own.

        with CodeGrader(Limits(cpu_seconds=2)) as grader:
            grade = grader.grade(problem, "def f(x): return x")

    Raises (when first used):
        GraderError: the workers cannot be started.
        InputError: tests with values that are not plain Python data.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.statistics = Statistics()
        self._cache = Cache()
        self._plans: OrderedDict[tuple[Any, ...], tuple[Any, Plan]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()
        self._running: Dispatcher | None = None
        self._end: Any = None
        _graders.add(self)

    def __reduce__(self) -> tuple[type[CodeGrader], tuple[Limits]]:
        """Pickle the limits: another process makes its own grader with the same ones."""
        return CodeGrader, (self.limits,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and all that they run. The grader can be used again; it then starts new ones."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            self._end.detach()
            running.close()

    @property
    def layers(self) -> dict[str, str]:
        """The isolation layers in force: {layer: what it is set to}."""
        layers = self._dispatcher().layers()
        self._warn()
        return layers

    def grade(self, problem: Problem, program: str) -> Grade:
        """The verdict on one program: its full source, `problem.stub` included."""
        return self.grade_batch([(problem, program)])[0]

    def grade_batch(self, pairs: Iterable[tuple[Problem, str]], progress: bool = False) -> list[Grade]:
        """One grade per pair, in order. Equal pairs are run once.

        Args:
            progress: show a progress bar on stderr.
        """
        batch, keys, jobs = self._prepare(pairs)
        with progress_bar(len(jobs), progress and bool(jobs)) as advance:
            batch.advance = advance
            with self._under_way(batch, jobs):
                batch.done.result()
        return self._results(batch, keys)

    async def agrade_batch(
        self, pairs: Iterable[tuple[Problem, str]], each: Callable[[int, Grade], None] | None = None
    ) -> list[Grade]:
        """`grade_batch` for coroutines: others go on meanwhile.

        Args:
            each: called, in the event loop, with the place of a pair and its grade, once that was run.
        """
        batch, keys, jobs = self._prepare(pairs)
        if each is not None:
            loop, places = asyncio.get_running_loop(), {key: place for place, key in enumerate(keys)}

            def told(key: bytes, grade: Grade) -> None:
                with contextlib.suppress(RuntimeError):  # nobody is there any more
                    loop.call_soon_threadsafe(each, places[key], grade)

            batch.each = told
        with self._under_way(batch, jobs):
            await asyncio.wrap_future(batch.done)
        return self._results(batch, keys)

    async def agrade(self, problem: Problem, program: str) -> Grade:
        """`grade` for coroutines."""
        return (await self.agrade_batch([(problem, program)]))[0]

    def key(self, problem: Problem, program: str) -> str:
        """Key of a grading: the program, the tests and the limits."""
        what = (self._plan(problem).digest, repr(self.limits), crestfall.__version__, program)
        return hashlib.blake2b(repr(what).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()

    def forget_tests(self) -> None:
        """Drop the tests that are kept for problems seen so far; they are prepared anew when they come again."""
        with self._lock:
            self._plans.clear()
            self._held = 0

    def _results(self, batch: Batch, keys: list[bytes]) -> list[Grade]:
        self._warn()
        faults = [grade.detail for key in keys if (grade := batch.grades[key]).ungraded]
        if faults:
            text = f"{len(faults)} of {len(keys)} programs were not graded and get no reward. {faults[0]}"
            warnings.warn(text, CrestfallWarning, 3)
        return [batch.grades[key] for key in keys]

    def _warn(self) -> None:
        running = self._running
        while running is not None and running.notices:
            warnings.warn(running.notices.popleft(), CrestfallWarning, 4)

    def _dispatcher(self) -> Dispatcher:
        with self._lock:
            if self._running is None:
                self._running = Dispatcher(self.limits, self._cache, self.statistics)
                self._end = weakref.finalize(self, self._running.close)
                self._end.atexit = False  # the workers end with us
            return self._running

    @contextlib.contextmanager
    def _under_way(self, batch: Batch, jobs: list[Job]) -> Iterator[None]:
        """The batch is run while its caller waits, and withdrawn if that is broken off."""
        if not jobs:
            batch.end()
            yield
            return
        running = self._dispatcher()
        running.run(batch, jobs)
        try:
            yield
        except BaseException:
            running.cancel(batch)
            raise

    def _prepare(self, pairs: Iterable[tuple[Problem, str]]) -> tuple[Batch, list[bytes], list[Job]]:
        """Returns the grades known already, the keys of the pairs in order, and the programs that have to be run."""
        batch, jobs, keys = Batch(), [], []
        for problem, program in pairs:
            plan = self._plan(problem)
            key = hashlib.blake2b(program.encode("utf-8", "surrogatepass"), key=plan.digest, digest_size=16).digest()
            keys.append(key)
            if key in batch.grades or key in batch.waits:
                continue
            known = self._cache.get(key)
            if known is None and plan.refusal:
                known = Grade(Verdict.UNSUPPORTED, plan.refusal)
            if known is None and (not program.strip() or (problem.stub and program.strip() == problem.stub.strip())):
                known = Grade(Verdict.NO_CODE, "no program in the answer")
            if known is not None:
                batch.grades[key] = known
            else:
                batch.waits.add(key)
                jobs.append(Job(key, plan, program))
        batch.retries = max(1, int(self.limits.retry_share * len(jobs)))
        with self._lock:
            self.statistics.graded += len(keys)
        return batch, keys, jobs

    def _plan(self, problem: Problem) -> Plan:
        """Plans are kept by the identity of the tests: problems are graded again and again, and making one hashes all
        values."""
        with self._lock:
            key = (id(problem.tests), problem.stub, problem.header, problem.limits)
            known = self._plans.get(key)
        if known is not None:
            return known[1]
        plan = plan_of(problem, self.limits)
        with self._lock:
            if key not in self._plans:
                self._held += plan.size
            self._plans[key] = (problem.tests, plan)
            while len(self._plans) > 1 and (len(self._plans) > MAX_PLANS or self._held > MAX_PLAN_BYTES):
                _, (_, oldest) = self._plans.popitem(last=False)
                self._held -= oldest.size
        return plan

    def _forked(self) -> None:
        """Start without workers in a forked child; the workers and their threads stay with the parent."""
        self._lock = threading.Lock()
        self._cache = Cache()
        if self._running is not None:
            self._end.detach()
            self._running.abandon()
            self._running = None


_graders: weakref.WeakSet[CodeGrader] = weakref.WeakSet()


def _after_fork() -> None:
    for grader in list(_graders):
        grader._forked()


os.register_at_fork(after_in_child=_after_fork)
