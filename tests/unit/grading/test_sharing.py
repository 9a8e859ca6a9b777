"""One grader for many threads, coroutines and forks: right verdicts, all workers busy, equal programs once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import threading

import pytest

from crestfall.core.errors import GraderError
from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.grading import CodeGrader, Limits

PROBLEMS = [
    Problem(f"p{k}", "", CallTests("f", tuple(CallCase((i,), i * k) for i in range(1, 4))), f"p{k}") for k in range(12)
]


@pytest.fixture
def grader():
    with CodeGrader(Limits(workers=2, cpu_seconds=2, wall_seconds=6)) as grader:
        yield grader


def wrong_verdicts(grader: CodeGrader, tag: int) -> int:
    wanted = [(k, (k + tag) % 2 == 0) for k in range(12)]
    pairs = [(PROBLEMS[k], f"def f(x): return x * {k if good else k + 1}  # {tag}") for k, good in wanted]
    return sum(grade.passed != good for grade, (_, good) in zip(grader.grade_batch(pairs), wanted, strict=True))


def test_threads_get_their_own_verdicts(grader):
    wrong: list[int] = []
    threads = [threading.Thread(target=lambda tag=tag: wrong.append(wrong_verdicts(grader, tag))) for tag in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 6


def test_threads_keep_all_workers_busy(grader):
    """Two programs that wait for each other could not; two that sleep half a second are done in less than their sum."""
    slow = "import time\ntime.sleep(1)\ndef f(x): return x * 3  # {}"
    assert grader.layers
    threads = [threading.Thread(target=grader.grade, args=(PROBLEMS[3], slow.format(i))) for i in range(2)]
    for thread in threads:
        thread.start()
    both = set()
    while any(thread.is_alive() for thread in threads):
        both.add(sum(bool(worker.jobs) for worker in grader._running._workers))
    assert 2 in both


def test_coroutines_share_what_they_ask_for(grader):
    async def ask():
        program = "def f(x): return 2 * x"
        return await asyncio.gather(*[grader.agrade(PROBLEMS[2], program) for _ in range(20)])

    assert all(grade.passed for grade in asyncio.run(ask()))
    assert grader.statistics.run == 1
    assert grader.statistics.graded == 20


def test_a_coroutine_may_give_up(grader):
    async def give_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(grader.agrade(PROBLEMS[2], "import time\ntime.sleep(2)"), 0.2)
        return await grader.agrade(PROBLEMS[2], "def f(x): return 2 * x")

    assert asyncio.run(give_up()).passed


def in_child(grader, tag, answers):
    answers.put(wrong_verdicts(grader, tag))


def test_forks_have_workers_of_their_own(grader):
    assert wrong_verdicts(grader, 0) == 0
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    children = [context.Process(target=in_child, args=(grader, tag, answers)) for tag in (1, 2)]
    for child in children:
        child.start()
    assert wrong_verdicts(grader, 3) == 0
    assert [answers.get(timeout=60) for _ in children] == [0, 0]
    for child in children:
        child.join(60)
    assert wrong_verdicts(grader, 4) == 0


def test_closing_ends_those_who_wait(grader):
    caught: list[BaseException] = []

    def wait():
        try:
            grader.grade(PROBLEMS[2], "import time\ntime.sleep(60)")
        except GraderError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while grader._running is None or not any(worker.jobs for worker in grader._running._workers):
        pass
    grader.close()
    thread.join(10)
    assert caught
    assert wrong_verdicts(grader, 5) == 0, "it starts again"


def test_a_copy_elsewhere_has_the_same_limits():
    assert pickle.loads(pickle.dumps(CodeGrader(Limits(workers=3)))).limits == Limits(workers=3)


def test_a_grader_that_nobody_holds_leaves_nothing():
    before = len(os.listdir("/proc/self/fd"))
    grader = CodeGrader(Limits(workers=1))
    assert grader.layers
    del grader
    assert len(os.listdir("/proc/self/fd")) == before
