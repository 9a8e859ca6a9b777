"""Problem files in every format, and what is said of broken ones."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import re
import zlib

import pytest

from crestfall.core.errors import CrestfallWarning, InputError
from crestfall.core.types import CallTests, CodeTests, StdioTests
from crestfall.grading.extract import extract_code
from crestfall.grading.problems.formats import load_problems
from crestfall.grading.samples import Assembly, Matcher, assembled, none_known, read_samples

HUMANEVAL = {"task_id": "HumanEval/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n",  # noqa: E501
             "test": "def check(candidate):\n    assert candidate(1) == 1\n"}  # fmt: skip
MBPP = {"task_id": 2, "text": "add", "code": "def g(): pass\ndef add(a, b): return a + b", "test_setup_code": "",
        "test_list": ["assert add(1, 2) == 3"], "challenge_test_list": []}  # fmt: skip
APPS_IO = {"problem_id": 1, "question": "q", "input_output": json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]})}
APPS_CALL = {"problem_id": 2, "question": "q",
             "input_output": json.dumps({"fn_name": "f", "inputs": [[1], [2]], "outputs": [[2], [3]]})}  # fmt: skip
LCB_TESTS = json.dumps([{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}])
LCB = {"question_id": "a", "question_content": "q", "public_test_cases": LCB_TESTS, "metadata": '{"func_name": "f"}',
       "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(LCB_TESTS))).decode()}  # fmt: skip
OWN = {"task_id": "own", "entry_point": "f", "tests": [[[1], 2], [[2], 4]]}


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="p.jsonl"):
        path = tmp_path / name
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
        return path

    return write


def test_all_formats_are_recognised(write):
    problems = load_problems(
        write(HUMANEVAL, MBPP, APPS_IO | {"problem_id": 9}, APPS_CALL | {"problem_id": 8}, LCB, OWN)
    )
    kinds = [type(problem.tests) for problem in problems]
    assert kinds == [CodeTests, CodeTests, StdioTests, CallTests, CallTests, CallTests]
    assert problems[1].tests.entry_point == "add"
    assert [case.expected for case in problems[3].tests.cases] == [2, 3]
    assert [case.args for case in problems[4].tests.cases] == [([1, 2], 3)] * 2


def test_gzip(write):
    assert load_problems(write(OWN, name="p.jsonl.gz"))[0].task_id == "own"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", ":1: not JSON"),
        ("[1]", ":1: a list, expected a JSON object"),
        ({"a": 1}, ":1: no known format"),
        (HUMANEVAL | {"prompt": 3}, ":1: field 'prompt' is 3, expected a string"),
        (MBPP | {"test_list": [1]}, ":1: field 'test_list'"),
        (APPS_IO | {"input_output": "{"}, ":1: field 'input_output'"),
        (OWN | {"tests": [[1]]}, "'tests'[0]"),
        (OWN | {"compare": "near"}, "'compare'"),
        (LCB | {"private_test_cases": "zzz"}, "'private_test_cases'"),
    ],
)
def test_a_broken_line_is_named(write, row, message):
    with pytest.raises(InputError) as caught:
        load_problems(write(row))
    assert message in str(caught.value)


def test_packed_tests_cannot_run_code(write, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    packed = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    with pytest.raises(InputError, match="private_test_cases"):
        load_problems(write(LCB | {"private_test_cases": packed}))
    assert not (tmp_path / "pwned").exists()


def test_samples(write):
    problems = load_problems(write(HUMANEVAL))
    rows = [
        {"task_id": "HumanEval/0", "completion": "    return x\nprint(1)"},
        {"task_id": "0", "solution": "def f(x): return x"},
        {"task_id": "HumanEval/0", "response": "```python\ndef f(x): return x\n```"},
    ]
    path = write(*rows, name="s.jsonl")
    taken = Matcher(read_samples(path)).take("HumanEval/0")
    programs = [assembled(written, problems[0], Assembly(stop=("\nprint",))).program for _, written in taken]
    assert programs == ["def f(x):\n    return x", "def f(x): return x", "def f(x): return x\n"]
    unknown = Matcher(read_samples(write({"task_id": "nope", "completion": ""}, name="s.jsonl"))).unknown()
    assert re.match(r".*s\.jsonl:1: field 'task_id' is 'nope'", str(none_known(unknown)))


TURN = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "x = 1"}]


@pytest.mark.parametrize(
    "row",
    [
        {"id": 0.0, "generated_code": "x = 1"},
        {"id": 0, "model_response": "```python\nx = 1\n```"},
        {"id": 0, "raw_generation": ["x = 1"]},
        {"id": 0, "completion": TURN},
        {"id": 0, "output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "t", "text": "x = 1"}]}]},
        {"id": 0, "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "x = 1"}]},
    ],
)
def test_samples_under_other_names(write, row):
    problems = load_problems(write(HUMANEVAL))
    (written,) = read_samples(write(row, name="s.jsonl"))
    assert written.task_id == "0"
    assert written.form == ("solution" if "generated_code" in row else "response")
    assert assembled(written, problems[0], Assembly()).program.strip().endswith("x = 1")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("", ""),
        ("I am sorry, I cannot help.", ""),
        ("x = 1\n", "x = 1\n"),
        ("Text\n```python\na = 1\n```\nmore\n```python\ndef f(): pass\n```\nand\n```\nls\n```", "def f(): pass\n"),
        ("```python\ndef f(): pass\n```\nUse it:\n```python\nprint(f())\n```", "def f(): pass\n"),
        ("```bash\nls\n```", ""),
        ("```py\ndef f():\n    pass", "def f():\n    pass"),
        ("Here:\n\ndef f():\n    return 1\n\nThat is all!", "def f():\n    return 1\n"),
    ],
)
def test_extraction(answer, code):
    assert extract_code(answer, "f") == code


@pytest.mark.parametrize(
    "tests",
    [
        ["assert f(1) == 2", "assert f(3) == 4"],
        [{"input": [1], "output": 2}],
        [{"input": "1", "output": "2", "testtype": "functional", "metadata": {"func_name": "f"}}],
    ],
    ids=["asserts", "arguments", "LiveCodeBench's"],
)
def test_own_lines_may_hold_the_data_sets_tests(write, tests):
    (problem,) = load_problems(write({"task_id": "a", "prompt": "Add one.", "entry_point": "f", "tests": tests}))
    assert isinstance(problem.tests, CodeTests if isinstance(tests[0], str) else CallTests)
    if isinstance(problem.tests, CallTests):
        assert [(case.args, case.expected) for case in problem.tests.cases] == [((1,), 2)]


@pytest.mark.parametrize(
    "tests",
    [
        {"stdin": ["1"], "stdout": ["2"]},
        [{"input": {"stdin": "1"}, "output": {"stdout": "2"}}],
    ],
    ids=["lists", "SandboxFusion's"],
)
def test_standard_input_by_its_name(write, tests):
    (problem,) = load_problems(write({"task_id": "a", "tests": tests}))
    assert [(case.stdin, case.stdout) for case in problem.tests.cases] == [("1", "2")]


def test_rows_without_an_id_get_their_number(write):
    bare = {key: value for key, value in HUMANEVAL.items() if key != "task_id"}
    assert [problem.task_id for problem in load_problems(write(bare, bare))] == ["0", "1"]


def test_an_own_line_without_tests_is_left_out(write):
    good = {"task_id": "a", "entry_point": "f", "tests": [[[1], 2]]}
    with pytest.warns(CrestfallWarning, match="no tests"):
        assert len(load_problems(write(good, good | {"task_id": "b", "tests": []}))) == 1
