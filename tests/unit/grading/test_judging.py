"""How outputs and results are judged: special judges, accepted answers, results in place, headers, limits, shares."""

from __future__ import annotations

import pytest

from crestfall.core.errors import ConfigError
from crestfall.core.types import CallCase, CallTests, Problem, ProblemLimits, StdioCase, StdioTests, Verdict
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.sandbox.header import LEETCODE
from crestfall.guard.rewards import trl_reward


@pytest.fixture(scope="module", params=["all layers", pytest.param("no namespaces", marks=pytest.mark.slow)])
def grader(request):
    without = () if request.param == "all layers" else ("namespaces",)
    with CodeGrader(Limits(workers=1, cpu_seconds=1, wall_seconds=2, without=without)) as grader:
        yield grader


@pytest.fixture(scope="module")
def thorough():
    with CodeGrader(Limits(workers=1, cpu_seconds=0.5, wall_seconds=2, every_test=True, keep_output=1000)) as grader:
        yield grader


def calls(*cases: CallCase, entry: str = "f", reference: str | None = None, **kwargs) -> Problem:
    options = {name: kwargs.pop(name) for name in ("header", "limits") if name in kwargs}
    return Problem("t", "", CallTests(entry, cases, "json", **kwargs), "t", reference=reference, **options)


def stdio(*cases: StdioCase, **kwargs) -> Problem:
    return Problem("t", "", StdioTests(cases, **kwargs), "t")


# The problem: print any number that is not the sum of the two given.
DIFFERENT = "def different(inp, out): return int(out) != sum(map(int, inp.split()))\n"
CHECKERS = {
    "script, score": DIFFERENT + "import sys\ninp, correct, out = (open(name).read() for name in sys.argv[1:4])\n"
    "print(1 if different(inp, out) else 0)",
    "script, word": DIFFERENT + "import sys\nfrom pathlib import Path\n"
    "print('Accepted' if different(Path(sys.argv[1]).read_text(), Path(sys.argv[3]).read_text()) else 'WA')",
    "script, exit code": DIFFERENT + "import sys\nif __name__ == '__main__':\n"
    "    sys.exit(0 if different(open(sys.argv[1]).read(), open('solution_output.txt').read()) else 1)",
    "function of two": DIFFERENT + "def check(stdin, output): return different(stdin, output)",
    "function of keywords": DIFFERENT + "def judge(*, output, input, strict=False): return different(input, output)",
    "function of three": DIFFERENT + "def checker(output, expected, input): return different(input, output)",
    "function, score": DIFFERENT + "def grade(i, e, o): return 1.0 if different(i, o) else 0.5",
    "function, assertion": DIFFERENT + "def check(input, output): assert different(input, output)",
    "script, word and exit code": DIFFERENT
    + "import sys\nright = different(*(open(sys.argv[i]).read() for i in (1, 3)))\n"
    "print('ok' if right else 'wrong: it is the sum')\nsys.exit(not right)",
    "DMOJ's": DIFFERENT
    + "def check(process_output, judge_output, judge_input, **kwargs): return different(judge_input, process_output)",
    "a method": DIFFERENT + "class Checker:\n    def check(self, inp, exp, out): return different(inp, out)",
    "function, object": DIFFERENT + "def check(input, output): return {'score': int(different(input, output))}",
    "script, JSON": DIFFERENT
    + "import json, sys\nprint(json.dumps({'passed': different(*(open(sys.argv[i]).read() for i in (1, 3)))}))",
    "script, of a hundred": DIFFERENT
    + "import sys\nprint(100 * different(*(open(sys.argv[i]).read() for i in (1, 3))))",
    "Kattis's exit codes": DIFFERENT
    + "import sys\nsys.exit(42 if different(*(open(sys.argv[i]).read() for i in (1, 3))) else 43)",
    "function, tuple": DIFFERENT + "def judge(input_data, out): return different(input_data, out), 'why'",
}


@pytest.mark.parametrize("name", CHECKERS)
def test_a_checker_decides(grader, name):
    problem = stdio(StdioCase("5 4\n", "2\n"), StdioCase("1 1\n", "3\n"), checker=CHECKERS[name])
    assert grader.grade(problem, "a, b = map(int, input().split())\nprint(a + b + 1)").passed
    grade = grader.grade(problem, "a, b = map(int, input().split())\nprint(9 if a == 5 else 0)")
    assert grade.verdict is Verdict.WRONG_ANSWER
    assert grade.detail.startswith("case 1: the checker says")
    assert grader.grade(problem, "print('x')").verdict is Verdict.WRONG_ANSWER  # the checker fails on it
    assert grader.grade(problem, "print(0)\n1 / 0").verdict is Verdict.RUNTIME_ERROR


def test_a_name_of_the_header_is_not_the_programs(grader):
    problem = calls(CallCase((1, 2), 3), entry="add", header=LEETCODE)
    assert grader.grade(problem, "class Solution:\n    def add(self, a, b): return a + b").passed
    assert grader.grade(problem, "def add(a, b): return a + b").passed
    assert grader.grade(problem, "from operator import add").passed
    assert not grader.grade(problem, "class Solution:\n    def add(self, a, b): return a").passed
    assert not grader.grade(problem, "class Solution:\n    def sub(self, a, b): return a").passed
    search = calls(CallCase(([4, 5], 5), 1), entry="search", header=LEETCODE)
    assert grader.grade(search, "class Solution:\n    def search(self, nums, target): return nums.index(target)").passed


def test_a_checker_says_why(grader):
    checker = "print('the sum')\nraise SystemExit(1)"
    assert (
        grader.grade(stdio(StdioCase("1\n", "1\n"), checker=checker), "print(1)").detail
        == "case 1: the checker says: the sum"
    )
    forgetful = "def check(output):\n    if output == 'x':\n        return True"
    assert not grader.grade(stdio(StdioCase("1\n", "1\n"), checker=forgetful), "print(1)").passed


@pytest.mark.parametrize(
    "checker", ["class Checker:\n    def run(self, a, b): return a == b", "print('POINTS 3')", "x = 1"]
)
def test_a_checker_that_decides_nothing_passes_nothing(grader, checker):
    with pytest.warns(UserWarning, match="own output"):
        grade = grader.grade(stdio(StdioCase("1\n", "1\n"), checker=checker), "print(1)")
    assert grade.verdict is Verdict.UNSUPPORTED


def test_a_checker_that_fails_on_the_right_output_is_the_problems_fault(grader):
    with pytest.warns(UserWarning, match="own output"):
        grade = grader.grade(stdio(StdioCase("1\n", "1\n"), checker="1 / 0"), "print(1)")
    assert grade.verdict is Verdict.UNSUPPORTED


def test_a_checker_is_confined_and_limited(grader):
    for checker in ("while True: pass", "import socket\nsocket.create_connection(('127.0.0.1', 1))"):
        with pytest.warns(UserWarning, match="own output"):
            grade = grader.grade(stdio(StdioCase("1\n", "1\n"), checker=checker), "print(1)")
        assert grade.verdict is Verdict.UNSUPPORTED


def test_a_program_cannot_reach_its_checker(grader):
    problem = stdio(StdioCase("1 1\n", "3\n"), checker=CHECKERS["script, score"])
    program = "import builtins\nbuiltins.print = lambda *a: None\nopen('input.txt')"
    assert grader.grade(problem, program).verdict is Verdict.RUNTIME_ERROR


def test_several_answers_are_accepted(grader):
    problem = stdio(StdioCase("", "1 2\n", ("2 1\n", "3\n")))
    passed = [x for x in ("1 2", "2 1", "3", "2") if grader.grade(problem, f"print('{x}')").passed]
    assert passed == ["1 2", "2 1", "3"]
    problem = calls(CallCase((1,), [1], accepted=([2], None)))
    passed = [x for x in ("[1]", "[2]", "None", "[3]") if grader.grade(problem, f"def f(x): return {x}").passed]
    assert passed == ["[1]", "[2]", "None"]


def test_keyword_arguments_and_methods(grader):
    problem = calls(CallCase((1,), 3, {"b": 2}))
    assert grader.grade(problem, "def f(a, *, b): return a + b").passed
    assert grader.grade(problem, "class Solution:\n    def f(self, a, b): return a + b").passed
    method = calls(CallCase((1,), 2), entry="Adder().add")
    assert grader.grade(method, "class Adder:\n    def add(self, a): return a + 1").passed


IN_PLACE = "def f(a): a.reverse()"


def test_an_argument_that_cannot_change_is_no_result(grader):
    assert not grader.grade(calls(CallCase((1,), 1)), "def f(x): print(x)").passed


@pytest.mark.parametrize(
    ("value", "right"), [("Decimal('0.3')", True), ("Fraction(3, 10)", True), ("Decimal('sNaN')", False)]
)
def test_other_numbers_count_by_their_value(grader, value, right):
    source = f"from decimal import Decimal\nfrom fractions import Fraction\ndef f(x): return [{value}]"
    assert grader.grade(calls(CallCase((1,), [0.3]), tolerance=1e-6), source).passed is right


def test_results_in_place(grader):
    problem = calls(CallCase(([1, 2],), [2, 1]))
    assert grader.grade(problem, IN_PLACE).passed
    assert grader.grade(problem, "def f(a): return a[::-1]").passed
    assert grader.grade(problem, "def f(a): pass").verdict is Verdict.WRONG_ANSWER
    returns = calls(CallCase(([1, 2],), [2, 1]), reference="def f(a):\n    return a[::-1]")
    assert grader.grade(returns, IN_PLACE).verdict is Verdict.WRONG_ANSWER
    never = calls(CallCase(([1, 2],), [2, 1]), in_place=False)
    assert grader.grade(never, IN_PLACE).verdict is Verdict.WRONG_ANSWER
    always = calls(CallCase(([1, 2],), [2, 1]), in_place=True)
    assert grader.grade(always, IN_PLACE).passed


def test_the_header_stands_before_the_program(grader):
    program = "class Solution:\n    def f(self, a: List[int]) -> Optional[int]:\n"
    program += "        return Counter(a).most_common(1)[0][0] if inf > 0 else collections.deque()"
    assert grader.grade(calls(CallCase(([1, 1],), 1), header=LEETCODE), program).passed
    assert grader.grade(calls(CallCase(([1, 1],), 1)), program).verdict is Verdict.RUNTIME_ERROR
    own = calls(CallCase((1,), 2), header="import math as m\ndef helper(x): return x + 1")
    assert grader.grade(own, "from __future__ import annotations\ndef f(x): return helper(x) * m.gcd(1, 1)").passed


BUSY = "import time\ndef f(x):\n    t = time.process_time() + x\n    while time.process_time() < t: pass\n    return x"


def test_limits_of_a_problems_own(grader):
    cases = [CallCase((0.6,), 0.6)] * 2
    assert grader.grade(calls(*cases), BUSY).verdict is Verdict.TIME_LIMIT
    assert grader.grade(calls(*cases, limits=ProblemLimits(cpu_seconds=4)), BUSY).passed
    assert grader.grade(calls(*cases, limits=ProblemLimits(per_test=True)), BUSY).passed
    slow = [CallCase((0.1,), 0.1), CallCase((9,), 9)]
    assert grader.grade(calls(*slow, limits=ProblemLimits(per_test=True)), BUSY).verdict is Verdict.TIME_LIMIT
    strict = calls(CallCase((0.6,), 0.6), limits=ProblemLimits(cpu_seconds=0.2))
    assert grader.grade(strict, BUSY).verdict is Verdict.TIME_LIMIT
    memory = "import mmap\ndef f(n):\n    try: return len(mmap.mmap(-1, n << 20)) >> 20\n"
    memory += "    except OSError: raise MemoryError"
    assert grader.grade(calls(CallCase((300,), 300)), memory).passed
    small = ProblemLimits(memory_mib=200)
    assert grader.grade(calls(CallCase((300,), 300), limits=small), memory).verdict is Verdict.MEMORY_LIMIT
    large = ProblemLimits(memory_mib=2048)
    assert grader.grade(calls(CallCase((1200,), 1200)), memory).verdict is Verdict.MEMORY_LIMIT
    assert grader.grade(calls(CallCase((1200,), 1200), limits=large), memory).passed


def test_every_test_counts(thorough):
    cases = [CallCase((i,), i * i) for i in range(6)]
    program = "import os, time\ndef f(x):\n    print(x)\n    if x == 1: return 0\n    if x == 2: 1 / 0\n"
    program += "    if x == 3: os._exit(0)\n    while x == 4: pass\n    return x * x"
    grade = thorough.grade(calls(*cases), program)
    assert grade.verdict is Verdict.WRONG_ANSWER
    assert [(test.name, test.verdict.value) for test in grade.tests] == [
        ("case 2", "wrong_answer"),
        ("case 3", "runtime_error"),
        ("case 4", "runtime_error"),
        ("case 5", "time_limit"),
    ]
    assert grade.share == pytest.approx(2 / 6)
    io = stdio(*(StdioCase(f"{i}\n", f"{i}\n") for i in range(4)))
    grade = thorough.grade(io, "x = int(input())\nprint(x if x != 2 else 1 / 0)")
    assert grade.share == 0.75
    assert grade.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert thorough.grade(calls(*cases), "1 / 0").share == 0.0
    assert thorough.grade(calls(*cases), "def f(x): return x * x").share == 1.0


def test_the_share_as_a_reward(thorough):
    problem = calls(CallCase((1,), 1), CallCase((2,), 4))
    reward = trl_reward([problem], thorough, share=True)
    assert reward(completions=["def f(x): return x", "def f(x): return x * x"], task_id=["t", "t"]) == [0.5, 1.0]
    with pytest.raises(ConfigError, match="every_test"):
        trl_reward([problem], CodeGrader(), share=True)
