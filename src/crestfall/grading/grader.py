"""CodeGrader: (problem, program) pairs in, verdicts out. The trainer's side: equal pairs once, a cache, a pool,
retries."""

from __future__ import annotations

import hashlib
import select
import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from crestfall.core.errors import CrestfallWarning
from crestfall.core.types import Grade, Problem, Verdict
from crestfall.grading.limits import Limits
from crestfall.grading.plans import Plan, plan_of
from crestfall.grading.pool import Worker, WorkerDied
from crestfall.grading.progress import progress_bar

CACHE_SIZE = 100_000
CHUNK = 8
ATTEMPTS = 3


@dataclass
class Statistics:
    """Counts since the grader was made."""

    graded: int = 0
    run: int = 0
    retried: int = 0
    infra: int = 0

    @property
    def retry_share(self) -> float:
        return self.retried / self.run if self.run else 0.0


@dataclass
class _Job:
    key: bytes
    plan: Plan
    source: str
    attempts: int = 0


@dataclass
class _Batch:
    """The distinct programs of one call, on their way through the pool."""

    jobs: dict[int, _Job] = field(default_factory=dict)
    queue: deque[int] = field(default_factory=deque)
    results: dict[bytes, Grade] = field(default_factory=dict)
    slept: list[int] = field(default_factory=list)


class CodeGrader:
    """Judges programs against the tests of problems, each program in a fresh confined process.

    Use it as a context manager, or call `close`. Workers start with the first program and stay until then. It may be
    used from any thread, one call at a time.

        with CodeGrader(Limits(cpu_seconds=2)) as grader:
            grade = grader.grade(problem, "def f(x): return x")

    Raises (when first used):
        GraderError: the workers cannot be started.
        InputError: tests with values that are not plain Python data.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.statistics = Statistics()
        self._workers: list[Worker] = []
        self._cache: OrderedDict[bytes, Grade] = OrderedDict()
        self._plans: OrderedDict[int, tuple[Any, Plan]] = OrderedDict()
        self._lock = threading.Lock()
        self._next_job = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and all that they run. The grader can be used again; it then starts new ones."""
        with self._lock:
            self._drop_workers()

    @property
    def layers(self) -> dict[str, str]:
        """The isolation layers in force: {layer: what it is set to}."""
        with self._lock:
            self._start_workers()
            return dict(self._workers[0].layers)

    def grade(self, problem: Problem, program: str) -> Grade:
        """The verdict on one program: its full source, `problem.stub` included."""
        return self.grade_batch([(problem, program)])[0]

    def grade_batch(self, pairs: Iterable[tuple[Problem, str]], progress: bool = False) -> list[Grade]:
        """One grade per pair, in order. Equal pairs are run once.

        Args:
            progress: show a progress bar on stderr.
        """
        with self._lock:
            batch = _Batch()
            keys = [self._enlist(batch, problem, program) for problem, program in pairs]
            self.statistics.graded += len(keys)
            try:
                self._run(batch, progress)
            except BaseException:  # answers of a broken-off batch must not be taken for the next one's
                self._drop_workers()
                raise
            return [batch.results[key] for key in keys]

    def _enlist(self, batch: _Batch, problem: Problem, program: str) -> bytes:
        """The pair's key; a job for it unless its grade is known."""
        plan = self._plan(problem)
        key = hashlib.blake2b(program.encode("utf-8", "surrogatepass"), key=plan.digest, digest_size=16).digest()
        if key in batch.results:
            return key
        if key in self._cache:
            self._cache.move_to_end(key)
            batch.results[key] = self._cache[key]
        elif not program.strip() or (problem.stub and program.strip() == problem.stub.strip()):
            batch.results[key] = Grade(Verdict.NO_CODE, "nothing was written")
        else:
            batch.results[key] = Grade(Verdict.INFRA, "not run")
            batch.jobs[self._next_job] = _Job(key, plan, program)
            batch.queue.append(self._next_job)
            self._next_job += 1
        return key

    def _plan(self, problem: Problem) -> Plan:
        """Plans are kept by the identity of the tests: problems are graded again and again, and making one hashes all
        values."""
        known = self._plans.get(id(problem.tests))
        if known is not None:
            return known[1]
        plan = plan_of(problem)
        self._plans[id(problem.tests)] = (problem.tests, plan)
        if len(self._plans) > 4096:
            self._plans.popitem(last=False)
        return plan

    def _run(self, batch: _Batch, progress: bool) -> None:
        if not batch.queue:
            return
        self.statistics.run += len(batch.queue)
        self._start_workers()
        with progress_bar(len(batch.queue), progress) as advance:
            self._drain(batch, self._workers, CHUNK, advance)
            again = self._retries(batch)
            for job in again:  # alone: nothing of ours beside it
                batch.queue.append(job)
                self._drain(batch, self._workers[:1], 1, advance)

    def _retries(self, batch: _Batch) -> Sequence[int]:
        """Programs to run once more: they hit the wall limit and not the CPU limit. Few of them, or sleeping would
        pay."""
        allowed = max(1, int(self.limits.retry_share * len(batch.jobs)))
        again, batch.slept = batch.slept[:allowed], []
        self.statistics.retried += len(again)
        return again

    def _drain(self, batch: _Batch, workers: list[Worker], chunk: int, advance: Any) -> None:
        """Run all queued jobs. Every worker holds two chunks, so that it never waits for us."""
        while batch.queue or any(worker.jobs for worker in workers):
            for index, worker in enumerate(workers):
                share = max(1, min(chunk, len(batch.queue) // (2 * len(workers))))
                while batch.queue and len(worker.jobs) <= share:
                    jobs = [batch.queue.popleft() for _ in range(min(share, len(batch.queue)))]
                    self._submit(batch, workers, index, jobs)
            self._collect(batch, workers, advance)

    def _submit(self, batch: _Batch, workers: list[Worker], index: int, jobs: list[int]) -> None:
        try:
            workers[index].submit([(job, batch.jobs[job].plan, batch.jobs[job].source) for job in jobs])
        except WorkerDied:
            self._replace(batch, workers, index)

    def _collect(self, batch: _Batch, workers: list[Worker], advance: Any) -> None:
        poll = select.poll()
        for worker in workers:
            poll.register(worker, select.POLLIN)
        runs = max((batch.jobs[job].plan.runs for worker in workers for job in worker.jobs), default=1)
        patience = runs * (self.limits.wall_seconds + self.limits.cpu_seconds) + 30
        ready = {fd for fd, _ in poll.poll(patience * 1000)}
        for index, worker in enumerate(workers):
            if ready and worker.fileno() not in ready:
                continue
            try:
                if not ready:
                    raise WorkerDied("a grader worker hangs")
                for answer in worker.receive():
                    self._settle(batch, *answer)
                    advance()
            except WorkerDied:
                self._replace(batch, workers, index)

    def _settle(self, batch: _Batch, number: int, verdict: str, detail: str, cpu: float, final: bool) -> None:
        job = batch.jobs[number]
        grade = Grade(Verdict(verdict), detail, cpu)
        batch.results[job.key] = grade
        if final:
            self._cache[job.key] = grade
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        elif not job.attempts:
            job.attempts += 1
            batch.slept.append(number)

    def _replace(self, batch: _Batch, workers: list[Worker], index: int) -> None:
        """A worker died or hangs: the job it was at is suspected, the others it held are innocent."""
        held = list(workers[index].jobs)
        workers[index].kill()
        if held:
            suspect = batch.jobs[held[0]]
            suspect.attempts += 1
            if suspect.attempts >= ATTEMPTS:
                batch.results[suspect.key] = Grade(Verdict.INFRA, f"the grader failed {ATTEMPTS} times on it")
                self.statistics.infra += 1
                held = held[1:]
        batch.queue.extendleft(reversed(held))
        fresh = Worker(self.limits)
        self._workers[self._workers.index(workers[index])] = fresh
        workers[index] = fresh

    def _start_workers(self) -> None:
        while len(self._workers) < self.limits.workers:
            self._workers.append(Worker(self.limits))
            if not {"root", "landlock"} & self._workers[-1].layers.keys() and not self.limits.without:
                warnings.warn(
                    "programs can read this machine's files: the kernel gives neither Landlock nor mount namespaces",
                    CrestfallWarning,
                    stacklevel=4,
                )

    def _drop_workers(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
