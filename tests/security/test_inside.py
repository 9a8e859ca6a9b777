"""Tests inside a program's process: what a program does before it knows the nonce, or by leaving, passes nothing."""

from __future__ import annotations

import pytest

from crestfall.core.types import CodeTests, Problem, Verdict
from crestfall.grading import CodeGrader, Limits

TESTS = "s = Stack()\ns.push(1)\nassert s.pop() == 1\nassert len(s) == 0\nwith s as t:\n    assert t is s"
HONEST = """
class Stack:
    def __init__(self): self.a = []
    def push(self, x): self.a.append(x)
    def pop(self): return self.a.pop()
    def __len__(self): return len(self.a)
    def __enter__(self): return self
    def __exit__(self, *error): pass
"""
REPORT = '["t","0123456789abcdef0123456789abcdef",9,[],"passed",""]'
HOSTILE = {
    "leaves at its top": "import os\nos._exit(0)",
    "exits at its top": "import sys\nsys.exit(0)",
    "leaves in a method": "import os\nclass Stack:\n    def push(self, x): os._exit(0)",
    "exits in a method": "class Stack:\n    def push(self, x): raise SystemExit(0)",
    "kills itself": "import os, signal\nclass Stack:\n    def push(self, x): os.kill(os.getpid(), signal.SIGKILL)",
    "a report before the tests": f"import os\nos.write(3, b'{REPORT}\\n')\nos._exit(0)",
    "a report in place of the tests": f"import os\nclass Stack:\n    def push(self, x):\n"
    f"        os.write(3, b'{REPORT}\\n')\n        os._exit(0)",
    "loaded, and a report": f"import os\nos.write(3, b'[\"v\",null]\\n{REPORT}\\n')\nos._exit(0)",
    "says that it passed": "print('passed')\nclass Stack: pass",
    "no class": "x = 1",
    "endless": "class Stack:\n    def push(self, x):\n        while True: pass",
    "asserts patched away": "import builtins\nbuiltins.AssertionError = ValueError\nclass Stack:\n"
    "    def push(self, x): pass\n    def pop(self): return 2\n    def __len__(self): return 0",
    "a write to every descriptor": "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'passed\\n')\n"
    "    except OSError: pass" + HONEST,
    "a test that raises SystemExit at its end": HONEST + "    def pop(self): raise SystemExit(0)",
}


@pytest.fixture(scope="module", params=[(), ("namespaces",)])
def grader(request):
    with CodeGrader(Limits(workers=1, cpu_seconds=1, wall_seconds=2, without=request.param)) as grader:
        yield grader


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_forged_passes(grader, name):
    problem = Problem("t", "", CodeTests(TESTS), "t")
    grade = grader.grade(problem, HOSTILE[name])
    assert not grade.passed
    assert not grade.ungraded, grade
    assert grade.isolation == "inside"
    assert grader.grade(problem, f"{HONEST}# {name}").passed


UNITTEST = f"""import unittest
from solution import Stack
class T(unittest.TestCase):
    def test_a(self):
{chr(10).join("        " + line for line in TESTS.split(chr(10)))}
"""
FUNCTION = (
    f"from solution import Stack\ndef test_a():\n{chr(10).join('    ' + line for line in TESTS.split(chr(10)))}\n"
)


@pytest.mark.parametrize("tests", [UNITTEST, FUNCTION])
@pytest.mark.parametrize(
    "source",
    [
        "import unittest\nunittest.defaultTestLoader.loadTestsFromTestCase = lambda kind: []",
        "import builtins\nbuiltins.issubclass = lambda a, b: False\nbuiltins.isinstance = lambda *a: False",
        "import unittest\nunittest.TestSuite.run = lambda self, result: None",
        "import unittest\nunittest.TestCase.__unittest_skip__ = True",
        "import unittest\ndef Stack(): raise unittest.case._ShouldStop",
        "from crestfall.grading.sandbox.assertions import Unsupported\ndef Stack(): raise Unsupported",
    ],
)
def test_tests_that_did_not_run_are_missed(grader, tests, source):
    grade = grader.grade(Problem("t", "", CodeTests(tests), "t"), f"class Stack: pass\n{source}")
    assert not grade.passed
    assert grade.verdict is not Verdict.INFRA


BODY = "s = Stack()\n{0}s.push(1)\n{0}assert s.pop() == 1"
AROUND = {  # no assertion that the source shows to run in any case
    "a function": "def run():\n    " + BODY.format("    ") + "\nrun()",
    "a loop": "for _ in range(2):\n    " + BODY.format("    "),
    "a guard": "if __name__ == '__main__':\n    " + BODY.format("    "),
    "a coroutine": "import asyncio\nasync def main():\n    " + BODY.format("    ") + "\nasyncio.run(main())",
    "an exit code": "import sys\ns = Stack()\ns.push(1)\nsys.exit(0 if s.pop() == 1 else 1)",
    "an exit by another name": "from os import _exit as bye\ns = Stack()\ns.push(1)\nbye(s.pop() != 1)",
    "a raised exit": "s = Stack()\ns.push(1)\nif s.pop() != 1: raise SystemExit(1)\nraise SystemExit",
    "unittest's own exit": "import sys\nfrom unittest import TestCase, main\nclass T(TestCase):\n"
    "    def test_a(self):\n        s = Stack()\n        s.push(1)\n"
    "        self.assertEqual(s.pop(), 1)\nsys.exit(main())",
}


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize(
    "end",
    [
        "def push(self, x): raise SystemExit",
        "push = staticmethod(lambda x: sys.exit(0))",
        "push = partial(sys.exit, 0)",
        "def push(self, x): from crestfall.grading.sandbox.assertions import leave; leave()",
    ],
)
def test_a_program_that_exits_ends_no_tests(grader, name, end):
    """The tests' own exit is theirs alone: `sys.exit()` in a method passed where the assertions stood in a function."""
    problem = Problem("t", "", CodeTests(AROUND[name]), "t")
    program = f"import sys\nfrom functools import partial\nclass Stack:\n    {end}\n    def pop(self): return 2\n"
    assert grader.grade(problem, program).verdict is Verdict.RUNTIME_ERROR
    right, wrong = (f"# {end}{HONEST}\n    def pop(self): return {value}\n" for value in (1, 2))
    assert grader.grade(problem, right).passed
    assert grader.grade(problem, wrong).verdict is Verdict.WRONG_ANSWER


@pytest.mark.parametrize(
    "tests", ["assert f(2) == 4", "def check(c):\n    assert c(2) == 4", "assert abs(f(2) - 4) < 1e-6"]
)
def test_a_program_cannot_bring_its_tests_inside(grader, tests):
    problem = Problem("t", "", CodeTests(tests, "f"), "t")
    methods = {"eq": "True", "sub": "0", "rsub": "0", "abs": "0", "lt": "True", "float": "4.0", "hash": "hash(4)"}
    program = "class A:\n" + "".join(f"    def __{n}__(self, *o): return {v}\n" for n, v in methods.items())
    program += "def f(x): return A()"
    grade = grader.grade(problem, program)
    assert grade.isolation == "outside"
    assert grade.verdict in (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR)


# --- no program chooses that it is not graded

_SKIPS = {  # raised by what leaves no trace of the program
    "an import": "functools.partial(__import__, 'nope')",
    "pytest's importorskip": "functools.partial(pytest_shim.importorskip, 'nope')",
    "unittest's skip": "functools.partial(unittest.TestCase.skipTest, None, 'x')",
    "pytest's skip": "pytest_shim.skip",
    "a thrown skip": "functools.partial((_ for _ in ()).throw, unittest.SkipTest('x'))",
    "a thrown style": "functools.partial((_ for _ in ()).throw, pytest_shim.Unsupported('x'))",
}
_SEEN = "import unittest, pytest\n"
_FROM_AFAR = {
    "a skip if it gives nothing": "def test_a():\n    if f(1) is None: pytest.skip('later')\n    assert f(1) == 2",
    "a skip of unittest": "class T(unittest.TestCase):\n    def test_a(self):\n"
    "        if not f(1): self.skipTest('later')\n        self.assertEqual(f(1), 2)",
    "its iterator is handed on": "assert f(zip(f(1), f(2))) == 2",
    "a package, if it gives nothing": "def test_a():\n    if f(1) is None: import json.nope\n    assert f(1) == 2",
}
_SKIPPED = {
    "a right program too": "def test_a():\n    assert f(1) == 2\n    pytest.skip('later')",
    "before it is used": "def test_a():\n    pytest.skip('later')\n    assert f(1) == 2",
    "without a variable": "import os\nclass T(unittest.TestCase):\n    def setUp(self):\n"
    "        if 'NOPE' not in os.environ: self.skipTest('x')\n    def test_a(self):\n        self.assertEqual(f(1), 2)",
    "before it is used, inside": "def test_a():\n    g = f\n    pytest.skip('later')\n    assert g.x == 2",
}


@pytest.mark.parametrize("tests", [UNITTEST, FUNCTION, TESTS])
@pytest.mark.parametrize("name", _SKIPS)
def test_no_program_skips_its_tests(grader, tests, name):
    imports = "import functools, unittest\nfrom crestfall.grading.sandbox import pytest_shim\n"
    for where in ("Stack = {}", "class Stack:\n    push = staticmethod({})", "unittest.TestCase.setUp = {}\nStack = 1"):
        grade = grader.grade(Problem("t", "", CodeTests(tests), "t"), imports + where.format(_SKIPS[name]))
        assert not grade.passed
        assert not grade.ungraded, grade


@pytest.mark.parametrize("name", _FROM_AFAR)
def test_no_value_skips_the_tests(grader, name):
    problem = Problem("t", "", CodeTests(_SEEN + _FROM_AFAR[name]), "t")
    for program in ("def f(x): return None", "def f(x):\n    yield 1", "def f(x): return open"):
        assert grader.grade(problem, program).verdict in (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR)


@pytest.mark.parametrize("name", _SKIPPED)
def test_tests_that_skip_themselves_are_unsupported_for_all_programs(grader, name):
    reference = "def f(x): return 2" if "too" in name else None
    problem = Problem("t", "", CodeTests(_SEEN + _SKIPPED[name]), "t", reference=reference)
    with pytest.warns(UserWarning, match="not graded"):
        assert grader.grade(problem, f"def f(x): return 2  # {name}").verdict is Verdict.UNSUPPORTED
