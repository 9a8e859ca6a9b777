"""The thread that feeds the workers. Any number of callers hand it batches; it owns the workers and nobody else touches
them."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from crestfall.core.errors import GraderError
from crestfall.core.types import Grade, Verdict
from crestfall.grading.jobs import Batch, Cache, Job, Statistics, grade_of
from crestfall.grading.limits import Limits
from crestfall.grading.pool import PROCESSES, Worker, WorkerDied

CHUNK = 8
ATTEMPTS = 3  # at a program on which the system fails us
DEATHS = 2  # of workers that were well when they began: then it is the program
ALONE_SECONDS = 5.0  # so long may a program that is to be run alone be kept waiting by others
OPEN = (
    "programs can read this machine's files, and what they hold: neither Landlock nor a file system of their own is in "
    "force (crestfall grade --explain-sandbox)"
)
CLOSED = "the grader was closed while it graded"


class Dispatcher:
    """Runs jobs on workers that it starts, watches and replaces.

    Raises GraderError, in the futures of what it was given: no worker can be started.
    """

    def __init__(self, limits: Limits, cache: Cache, statistics: Statistics) -> None:
        self._limits, self._cache, self._statistics = limits, cache, statistics
        self._workers: list[Worker] = []
        self._wanted = limits.workers
        self._jobs: dict[int, Job] = {}
        self._by_key: dict[bytes, Job] = {}
        self._queue: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._alone: deque[tuple[int, float]] = deque()
        self._next = 0
        self._inbox: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._wake, self._awake = os.pipe()
        os.set_blocking(self._wake, False)
        self._closing = self._over = False
        self._lock = threading.Lock()
        self.notices: deque[str] = deque()
        self._thread = threading.Thread(target=self._loop, name="crestfall-grader", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._over = True
            os.close(self._awake)
            os.close(self._wake)
            raise GraderError(f"no thread can be started for the grader ({PROCESSES}): {error}") from None

    # --- from any thread --------------------------------------------------------------------------------------------

    def run(self, batch: Batch, jobs: Iterable[Job]) -> None:
        if not self._post(self._admit, batch, list(jobs)):
            batch.end(GraderError(CLOSED))

    def cancel(self, batch: Batch) -> None:
        """Drop a batch whose caller no longer waits for it."""
        self._post(self._withdraw, batch)

    def layers(self) -> dict[str, str]:
        answer: Future[dict[str, str]] = Future()
        if not self._post(self._tell_layers, answer):
            raise GraderError(CLOSED)
        return answer.result()

    def close(self) -> None:
        """End the workers and all that they run."""
        self._closing = True
        if self._post(lambda: None) and threading.current_thread() is not self._thread:
            self._thread.join()

    def abandon(self) -> None:
        """Give up the workers in a forked child; they belong to the parent."""
        for worker in self._workers:
            worker.abandon()
        os.close(self._awake)
        os.close(self._wake)

    def _post(self, what: Callable[..., None], *args: Any) -> bool:
        """Have the thread do something; False: it has ended."""
        with self._lock:
            if not self._over:
                self._inbox.append((what, args))
                os.write(self._awake, b".")
            return not self._over

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while not self._closing:
                while self._inbox:
                    what, args = self._inbox.popleft()
                    what(*args)
                self._feed()
                self._listen()
        except BaseException as error:
            self._fail(GraderError(f"the grader's thread failed: {type(error).__name__}: {error}"))
            raise
        finally:
            with self._lock:
                self._over = True
                os.close(self._awake)
                os.close(self._wake)
            for worker in self._workers:
                worker.kill()
            self._workers.clear()
            self._fail(GraderError(CLOSED))

    def _admit(self, batch: Batch, jobs: list[Job]) -> None:
        try:
            self._start_workers()
        except GraderError as error:
            batch.end(error)
            return
        for job in jobs:
            if batch.done.cancelled():
                return
            running = self._by_key.get(job.key)
            if running is not None:  # another call has asked for the same
                running.batches.append(batch)
                continue
            job.batches.append(batch)
            self._statistics.run += 1
            self._jobs[self._next] = self._by_key[job.key] = job
            self._queue.append(self._next)
            self._next += 1

    def _withdraw(self, batch: Batch) -> None:
        for job in self._jobs.values():
            if batch in job.batches:
                job.batches.remove(batch)
        for queue in (self._queue, self._suspects):
            for number in [n for n in queue if not self._jobs[n].batches]:
                queue.remove(number)
                self._forget(number)

    def _tell_layers(self, answer: Future[dict[str, str]]) -> None:
        try:
            self._start_workers()
        except GraderError as error:
            answer.set_exception(error)
        else:
            answer.set_result(dict(self._workers[0].layers))

    def _feed(self) -> None:
        """Every worker holds two chunks, so that it never waits for us. But suspects run by themselves, and programs
        that slept run when nothing else does."""
        if self._alone and (not self._queue or time.monotonic() - self._alone[0][1] > ALONE_SECONDS):
            if not any(worker.jobs for worker in self._workers):
                self._submit(self._workers[0], [self._alone.popleft()[0]])
            return
        for worker in self._workers:
            worker.busy_alone &= bool(worker.jobs)
            if self._suspects and not worker.jobs:
                self._submit(worker, [self._suspects.popleft()])
                worker.busy_alone = True
        workers = [worker for worker in self._workers if not worker.busy_alone]
        while self._queue and workers:
            share = max(1, min(CHUNK, len(self._queue) // (2 * len(self._workers))))
            idlest = min(workers, key=lambda worker: len(worker.jobs))
            if len(idlest.jobs) > share:
                break
            self._submit(idlest, [self._queue.popleft() for _ in range(min(share, len(self._queue)))])

    def _submit(self, worker: Worker, numbers: list[int]) -> None:
        worker.submit([(number, self._jobs[number].plan, self._jobs[number].source) for number in numbers])

    def _listen(self) -> None:
        """Wait for answers, new work, or a worker that has been silent for too long."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        silent: list[float] = []
        for worker in self._workers:
            poll.register(worker, select.POLLIN | (select.POLLOUT if worker.unsent else 0))
            if worker.jobs:
                silent.append(worker.heard + self._patience(worker))
        timeout = None if not silent else max(0.0, min(silent) - time.monotonic()) * 1000 + 1
        ready = dict(poll.poll(timeout))
        if self._wake in ready:
            os.read(self._wake, 1 << 16)
        for worker in list(self._workers):
            events = ready.get(worker.fileno(), 0)
            try:
                if events & select.POLLOUT:
                    worker.flush()
                if events & ~select.POLLOUT:
                    for answer in worker.receive():
                        self._settle(*answer)
                elif worker.jobs and time.monotonic() > worker.heard + self._patience(worker):
                    raise WorkerDied("a grader worker hangs")
            except WorkerDied:
                self._replace(worker)

    def _patience(self, worker: Worker) -> float:
        """A worker watches over its programs and its judge; so late it answers only if it hangs itself."""
        return max(self._jobs[number].plan.patience(self._limits) for number in worker.jobs)

    def _settle(self, number: int, verdict: str, detail: str, cpu: float, final: bool, more: Mapping[str, Any]) -> None:
        job = self._jobs[number]
        grade = grade_of(job.plan, verdict, detail, cpu, more)
        if grade.verdict is Verdict.INFRA and not final:
            job.faults += 1
            if job.faults < ATTEMPTS:
                self._queue.append(number)
                return
        elif not final and not job.again and any(batch.retries > 0 for batch in job.batches):
            for batch in job.batches:
                batch.retries -= 1
            job.again = True
            self._statistics.retried += 1
            self._alone.append((number, time.monotonic()))
            return
        self._conclude(number, grade, final)

    def _conclude(self, number: int, grade: Grade, final: bool) -> None:
        job = self._forget(number)
        if final:
            self._cache.put(job.key, grade)
        self._statistics.infra += grade.verdict is Verdict.INFRA
        for batch in job.batches:
            batch.settle(job.key, grade)

    def _forget(self, number: int) -> Job:
        job = self._jobs.pop(number)
        del self._by_key[job.key]
        return job

    def _replace(self, worker: Worker) -> None:
        """A worker died or hangs. If it held one job, that one is to blame; else those it held are run one by one."""
        held = list(worker.jobs)
        worker.kill()
        self._workers.remove(worker)
        for number in held:
            job = self._jobs[number]
            job.deaths += len(held) == 1
            if job.deaths >= DEATHS:
                text = f"the grader's own process ended whenever it ran it ({DEATHS} times)"
                self._conclude(number, Grade(Verdict.VIOLATION, text), True)
            elif job.batches:
                self._suspects.append(number)
            else:
                self._forget(number)
        try:
            self._start_workers()
        except GraderError as error:
            self._fail(error)

    def _start_workers(self) -> None:
        """Up to as many as there were to be, or as there can be. Raises GraderError where there can be none."""
        fresh: list[Worker] = []
        before = len(self._workers)
        try:
            while len(self._workers) + len(fresh) < self._wanted:
                fresh.append(Worker(self._limits))
            while fresh:
                fresh[0].await_start()
                self._workers.append(fresh.pop(0))
        except GraderError as error:
            for worker in fresh:
                worker.kill()
            if not self._workers:
                raise
            self.notices.append(f"grading goes on with {len(self._workers)} of {self._wanted} workers: {error}")
            self._wanted = len(self._workers)
        if len(self._workers) > before and not {"root", "landlock"} & self._workers[0].layers.keys():
            self.notices.append(OPEN)

    def _fail(self, error: GraderError) -> None:
        """End all calls."""
        batches = {id(batch): batch for job in self._jobs.values() for batch in job.batches}
        for what, args in self._inbox:
            if args and isinstance(args[0], Batch):
                batches[id(args[0])] = args[0]
            elif what == self._tell_layers:
                args[0].set_exception(error)
        self._inbox.clear()
        for queue in (self._jobs, self._by_key, self._queue, self._suspects, self._alone):
            queue.clear()
        for batch in batches.values():
            batch.end(error)
