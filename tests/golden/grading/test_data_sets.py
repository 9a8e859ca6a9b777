"""Rows as the data sets hold them: each is recognised, a right program passes its tests and a wrong one does not."""

# ruff: noqa: E501  (a row a line reads best)

from __future__ import annotations

import base64
import json
import pickle
import zlib

import pytest

from crestfall.core.errors import CrestfallWarning, InputError
from crestfall.core.types import CallTests, CodeTests, StdioTests
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.problems.formats import load_problems

READ, READ_WRONG = "print(int(input()) * 2)\n", "print(int(input()) * 3)\n"
DEF, DEF_WRONG = "def double(x):\n    return x * 2\n", "def double(x):\n    return x * 3\n"
METHOD = "class Solution:\n    def double(self, x: int) -> int:\n        return x * 2\n"
METHOD_WRONG = METHOD.replace("* 2", "* 3")
IO = {"inputs": ["3\n", "4\n"], "outputs": ["6\n", "8\n"]}
CALLS = {"fn_name": "double", "inputs": [[3], [4]], "outputs": [[6], [8]]}
LCB_CALLS = [{"input": "3", "output": "6", "testtype": "functional", "metadata": {"func_name": "double"}}]
CHECKER = "import sys\nprint(int(open(sys.argv[2]).read() == open(sys.argv[3]).read()))\n"
UNIT = "import unittest\nclass TestCases(unittest.TestCase):\n    def test_1(self):\n        self.assertEqual(double(2), 4)\n"


def dumps(value):
    return json.dumps(value)


def packed(value) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(value)))).decode()


APPS = {"problem_id": 7, "question": "q", "solutions": "", "difficulty": "interview", "url": "u", "starter_code": ""}
TACO = {"question": "q", "solutions": dumps([READ]), "starter_code": "", "difficulty": "EASY", "raw_tags": "[]", "name": None,
        "source": "codechef", "tags": "[]", "skill_types": "[]", "url": "u", "Expected Auxiliary Space": None,
        "time_limit": "1 seconds", "date": None, "picture_num": "0", "memory_limit": "256.0 megabytes",
        "Expected Time Complexity": None}  # fmt: skip
CONTEST = {"name": "1_A. Double", "description": "d", "public_tests": {"input": ["3\n"], "output": ["6\n"]},
           "private_tests": {"input": [], "output": []}, "generated_tests": {"input": ["4\n"], "output": ["8\n"]},
           "source": 2, "difficulty": 7, "input_file": "", "output_file": "", "time_limit": {"seconds": 1, "nanos": 0},
           "memory_limit_bytes": 256000000, "solutions": {"language": [1, 2, 3], "solution": ["print 1", "int main()", READ]},
           "incorrect_solutions": {"language": [3], "solution": [READ_WRONG]}}  # fmt: skip
CODEFORCES = {"id": "1/A", "aliases": None, "contest_id": "1", "index": "A", "time_limit": 1.0, "memory_limit": 256.0,
              "title": "Double", "description": "d", "input_format": "one number", "output_format": "one number",
              "interaction_format": None, "note": None, "examples": [{"input": "3\n", "output": "6\n"}], "rating": 800,
              "official_tests": [{"input": "3\n", "output": "6\n"}, {"input": "4\n", "output": "8\n"}],
              "official_tests_complete": True, "input_mode": "stdio", "generated_checker": None, "executable": True,
              "generated_tests": 0}  # fmt: skip
VERIFIABLE = {"source": "apps", "task_type": "verifiable_code", "in_source_id": "1", "prompt": "p", "problem_id": "vcp_1",
              "gold_standard_solution": f"```python\n{READ}```", "metadata": '{"difficulty": "interview"}'}  # fmt: skip
VERIFIABLE_IO = [{"type": "stdin_stdout", "input": "3\n", "output": "6\n", "fn_name": None}]
VERIFIABLE_CALL = [{"type": "function_call", "fn_name": "double", "input": [3], "output": [6]}]
EURUS = {"data_source": "taco", "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "Double."}],
         "ability": "code", "reward_model": {"ground_truth": dumps(IO), "style": "rule"},
         "extra_info": {"split": "dummy", "index": 455261}}  # fmt: skip
SKYRL = {"data_source": "lcb", "env_class": "lcb", "prompt": [{"role": "user", "content": "Double."}],
         "reward_spec": {"method": "rule", "ground_truth": dumps(LCB_CALLS)}}  # fmt: skip
KODCODE = {"version": "v1.0", "style": "instruct", "subset": "Prefill", "question_id": "Prefill_1_I", "question": "q",
           "solution": DEF, "test": "from solution import double\n\ndef test_two():\n    assert double(2) == 4\n",
           "test_info": [{"docstring": "", "function_declaration": "def double(x):", "function_name": "double",
                          "parameter_list": "(x)"}]}  # fmt: skip
LEETCODE = {"task_id": "double", "question_id": 1, "difficulty": "Easy", "tags": ["Math"], "problem_description": "d",
            "starter_code": METHOD[: METHOD.index("return")], "prompt": "from typing import *\n\ndef helper(x):\n    return x\n",
            "completion": METHOD, "entry_point": "Solution().double", "query": "Double it.", "response": "r",
            "test": "def check(candidate):\n    assert candidate(x = 2) == 4\n    assert candidate(x = 5) == 10\n",
            "input_output": [{"input": "x = 2", "output": "4"}]}  # fmt: skip
BIGCODE = {"task_id": "BigCodeBench/1", "complete_prompt": "def double(x):\n    '''Double.'''\n", "instruct_prompt": "Double.",
           "canonical_solution": "    return x * 2\n", "code_prompt": "def double(x):\n", "test": UNIT,
           "entry_point": "double", "doc_struct": "{}", "libs": "['math']"}  # fmt: skip
DEEPCODER = {"problem": "q", "solutions": [f"```python\n{READ}```"]}
LCB = {"question_title": "t", "question_content": "q", "platform": "leetcode", "question_id": "3", "contest_id": "c",
       "contest_date": "2024-01-01T00:00:00", "starter_code": "", "difficulty": "easy",
       "public_test_cases": dumps([{"input": "3", "output": "6", "testtype": "functional"}]),
       "private_test_cases": packed([{"input": "4", "output": "8", "testtype": "functional"}]),
       "metadata": '{"func_name": "double"}'}  # fmt: skip

HUMANEVAL_X = {"task_id": "Python/0", "prompt": "import math\n\ndef double(x):\n    # Double.\n", "declaration": "def double(x):\n",
               "canonical_solution": "    return x * 2\n", "example_test": "", "test": "METADATA = {'author': 'jt'}\n\n\n"
               "def check(double):\n    assert double(2) == 4\n\ncheck(double)"}  # fmt: skip
MULTIPL_E = {"name": "HumanEval_0_double", "language": "py", "prompt": "def double(x: int) -> int:\n    # Double.\n",
             "doctests": "transform", "original": "o", "prompt_terminology": "reworded", "stop_tokens": ["\ndef"],
             "tests": "def check(candidate):\n    assert candidate(2) == 4\n\ndef test_check():\n    check(double)\n\ntest_check()\n"}  # fmt: skip
CLASSEVAL = {"task_id": "ClassEval_0", "skeleton": "class Solution:\n", "class_name": "Solution", "solution_code": METHOD,
             "test": UNIT.replace("double(2)", "Solution().double(2)")}  # fmt: skip
LIVEBENCH = {"question_id": "lb", "category": "coding", "turns": ["q"], "question_title": "t", "original_json": {"metadata": LCB["metadata"]},
             "public_test_cases": LCB["public_test_cases"], "private_test_cases": LCB["private_test_cases"]}  # fmt: skip

# GeeksforGeeks' problems: the tests do not say which function they call.
GFG = TACO | {"source": "geeksforgeeks", "solutions": "[]", "starter_code": "class Solution:\n    def count (self, arr, n):\n        #code",
              "input_output": dumps({"inputs": ["n = 2\narr[] = {3,4}", "n = 1\narr[] = {5}"], "outputs": ["2", "1"]})}  # fmt: skip
COUNT = "class Solution:\n    def count(self, arr, n):\n        assert n == len(arr)\n        return n"
TREES = LEETCODE | {"prompt": "class TreeNode:\n    def __init__(self, val): self.val = val\n\ndef tree_node(values):\n    return TreeNode(values[0])\n",
                    "test": "def check(candidate):\n    assert candidate(x = tree_node([2])) == 4\n", "completion": METHOD.replace("x * 2", "x.val * 2")}  # fmt: skip
ASSERTIONS = {
    "inputs": ["", ""],
    "outputs": [None, None],
    "assert_case": ["assert double(2) == 4", "assert double(0) == 0"],
}

STUBBED = (HUMANEVAL_X["prompt"] + "    return x * 2\n", HUMANEVAL_X["prompt"] + "    return x * 3\n")
PROGRAM, FUNCTION, SOLUTION = (READ, READ_WRONG), (DEF, DEF_WRONG), (METHOD, METHOD_WRONG)
DATA_SETS = {
    "APPS, stdin": (APPS | {"input_output": dumps(IO)}, "7", StdioTests, PROGRAM),
    "APPS, lists of lines": (APPS | {"input_output": {"inputs": [["3"]], "outputs": [["6"]]}}, "7", StdioTests, PROGRAM),
    "APPS, calls": (APPS | {"input_output": dumps(CALLS)}, "7", CallTests, FUNCTION),
    "TACO": (TACO | {"input_output": dumps(IO)}, "0", StdioTests, PROGRAM),
    "TACO, calls": (TACO | {"input_output": dumps(CALLS), "solutions": dumps([METHOD])}, "0", CallTests, SOLUTION),
    "TACO, GeeksforGeeks": (GFG, "0", CallTests, (COUNT, COUNT + " + 1")),
    "CodeContests": (CONTEST, "1_A. Double", StdioTests, PROGRAM),
    "the same, lists of tests": (CONTEST | {"public_tests": [{"input": "3", "output": "6"}], "private_tests": []}, "1_A. Double", StdioTests, PROGRAM),
    "codeforces": (CODEFORCES, "1/A", StdioTests, PROGRAM),
    "verifiable-coding-problems": (VERIFIABLE | {"verification_info": {"language": "python", "test_cases": VERIFIABLE_IO}}, "vcp_1", StdioTests, PROGRAM),
    "the same in JSON": (VERIFIABLE | {"verification_info": dumps({"language": "python", "test_cases": VERIFIABLE_IO})}, "vcp_1", StdioTests, PROGRAM),
    "the same as Python prints it": (VERIFIABLE | {"verification_info": str({"language": "python", "test_cases": VERIFIABLE_IO})}, "vcp_1", StdioTests, PROGRAM),
    "the same, calls": (VERIFIABLE | {"verification_info": {"language": "python", "test_cases": VERIFIABLE_CALL}, "gold_standard_solution": DEF}, "vcp_1", CallTests, FUNCTION),
    "a method by its class's name": (APPS | {"input_output": dumps(CALLS | {"fn_name": "Solution.double"})}, "7", CallTests, SOLUTION),
    "SYNTHETIC-2": (VERIFIABLE | {"verification_info": dumps({"ground_truth": dumps(LCB_CALLS)}), "gold_standard_solution": METHOD}, "vcp_1", CallTests, SOLUTION),
    "PRIME/Eurus": (EURUS, "455261", StdioTests, PROGRAM),
    "verl, calls": (EURUS | {"reward_model": {"style": "rule", "ground_truth": dumps(CALLS)}}, "455261", CallTests, FUNCTION),
    "verl, asserts": (EURUS | {"reward_model": {"ground_truth": dumps({"assert_case": "assert double(2) == 4", "entry_point": "double"})}}, "455261", CodeTests, FUNCTION),
    "verl, a list of asserts": (EURUS | {"reward_model": {"ground_truth": ["assert double(2) == 4", "assert double(0) == 0"]}}, "455261", CodeTests, FUNCTION),
    "verl's sandbox, an assertion for each case": (EURUS | {"reward_model": {"ground_truth": dumps(ASSERTIONS)}}, "455261", CodeTests, FUNCTION),
    "verl's sandbox, without assertions": (EURUS | {"reward_model": {"ground_truth": dumps(IO | {"assert_case": ["", ""]})}}, "455261", StdioTests, PROGRAM),
    "code-r1": (EURUS | {"reward_model": {"ground_truth": dumps({"pytest": KODCODE["test"]})}}, "455261", CodeTests, FUNCTION),
    "OpenRLHF": ({"input": "q", "label": dumps(IO)}, "0", StdioTests, PROGRAM),
    "OpenRLHF, asserts": ({"input": "q", "answer": ["assert double(2) == 4"]}, "0", CodeTests, FUNCTION),
    "slime": ({"prompt": "q", "label": [{"input": "3", "expected_output": "6", "test_type": "FUNCTIONAL", "function_name": "double"}]}, "0", CallTests, SOLUTION),
    "SkyRL": (SKYRL, "0", CallTests, SOLUTION),
    "SkyRL, packed": (SKYRL | {"reward_spec": {"method": "rule", "ground_truth": packed(LCB_CALLS)}}, "0", CallTests, SOLUTION),
    "DeepCoder, TACO's part": (DEEPCODER | {"tests": dumps(IO)}, "0", StdioTests, PROGRAM),
    "DeepCoder, PRIME's part": (DEEPCODER | {"tests": dumps(VERIFIABLE_IO)}, "0", StdioTests, PROGRAM),
    "DeepCoder, LiveCodeBench's part": (DEEPCODER | {"solutions": None, "starter_code": METHOD, "metadata": {"func_name": "double"}, "tests": dumps([{"input": "3", "output": "6", "testtype": "functional", "metadata": {"func_name": None}}])}, "0", CallTests, SOLUTION),
    "AceCode": ({"id": "ac_1", "question": "q", "test_cases": ["assert double(2) == 4"], "inferences": []}, "ac_1", CodeTests, FUNCTION),
    "KodCode": (KODCODE, "Prefill_1_I", CodeTests, FUNCTION),
    "LeetCodeDataset": (LEETCODE, "double", CodeTests, [text.replace("-> int", "-> Optional[int]") for text in SOLUTION]),
    "LeetCodeDataset, trees": (TREES, "double", CodeTests, [text.replace("x *", "x.val *") for text in SOLUTION]),
    "BigCodeBench": (BIGCODE, "BigCodeBench/1", CodeTests, FUNCTION),
    "LiveCodeBench": (LCB, "3", CallTests, SOLUTION),
    "HumanEval-X": (HUMANEVAL_X, "Python/0", CodeTests, STUBBED),
    "HumanEvalPack": (HUMANEVAL_X | {"entry_point": "double", "buggy_solution": "", "test_setup": "", "import": ""}, "Python/0", CodeTests, STUBBED),
    "MultiPL-E": (MULTIPL_E, "HumanEval_0_double", CodeTests, STUBBED),
    "ClassEval": (CLASSEVAL, "ClassEval_0", CodeTests, SOLUTION),
    "LBPP": ({"task_id": "lbpp/0", "language": "python", "instruction": "i", "completion": DEF, "test_setup": "from code import double\n", "test_list": ["assert double(2) == 4"]}, "lbpp/0", CodeTests, FUNCTION),
    "NeMo-Gym": ({"responses_create_params": {"input": [{"role": "user", "content": "q"}]}, "verifier_metadata": {"unit_tests": IO}, "hash_id": "h1"}, "h1", StdioTests, PROGRAM),
    "NeMo-Gym, objects alone": ({"responses_create_params": {"input": []}, "verifier_metadata": {"unit_tests": IO | {"fn_name": None}}}, "0", StdioTests, PROGRAM),
    "NeMo-Gym, calls": ({"verifier_metadata": {"unit_tests": CALLS, "problem_id": "p"}, "hash_id": "h1"}, "h1", CallTests, FUNCTION),
    "open-instruct": ({"messages": [{"role": "user", "content": "q"}], "ground_truth": dumps(["assert double(2) == 4"]), "dataset": "code", "id": "x"}, "x", CodeTests, FUNCTION),
    "open-instruct, in a list": ({"messages": [], "ground_truth": [dumps(["assert double(2) == 4"])], "dataset": ["code"]}, "0", CodeTests, FUNCTION),
    "open-instruct, standard input": ({"messages": [], "ground_truth": dumps([{"input": "3", "output": "6"}]), "dataset": "code_stdio"}, "0", StdioTests, PROGRAM),
    "rllm": ({"question": "q", "ground_truth": dumps(CALLS), "data_source": "taco", "uid": "deepcoder_0", "index": 0}, "deepcoder_0", CallTests, FUNCTION),
    "ROLL": ({"id": "0", "domain": "code_sandbox", "case_type": "input", "prompt": "q", "test_cases": dumps([{"stdin": "3\n", "expected_stdout": "6\n"}])}, "0", StdioTests, PROGRAM),
    "ROLL, asserts": ({"id": "0", "case_type": "assert", "prompt": "q", "test_cases": dumps([{"assert_code": "\nassert double(2) == 4\n"}])}, "0", CodeTests, FUNCTION),
    "guru": (EURUS | {"reward_model": {"ground_truth": dumps({"functional": "def check(candidate):\n    assert candidate(2) == 4\n\ncheck(Solution().double)"})}}, "455261", CodeTests, SOLUTION),
    "Skywork": (EURUS | {"reward_model": {"ground_truth": dumps({"entry_point": "Solution().double", "import_prefix": "from typing import *\n", "test_code": "def check(candidate):\n    assert candidate(2) == 4\n"})}}, "455261", CodeTests, SOLUTION),
    "rStar-Coder": ({"question_id": "s", "question": "q", "inputs": dumps(["3\n"]), "outputs": dumps(["6\n"]), "func_name": ""}, "s", StdioTests, PROGRAM),
    "rStar-Coder, calls": ({"question_id": "s", "question": "q", "inputs": dumps([[3]]), "outputs": dumps([6]), "func_name": "double"}, "s", CallTests, FUNCTION),
    "OpenCoder": ({"seq_id": 1, "instruction": "q", "code": DEF, "entry_point": "double", "testcase": ["assert double(2) == 4"]}, "1", CodeTests, FUNCTION),
    "HardTests": ({"pid": "x", "question_content": "q", "test_cases": [{"input": "3", "output": "6"}]}, "x", StdioTests, PROGRAM),
    "CURE": ({"task_id": 12, "question": "q", "test_input": ["3\n"], "test_output": ["6\n"], "example_input": ["3\n"], "example_output": ["6\n"], "test_time_limit": 1, "test_method": "stdio"}, "12", StdioTests, PROGRAM),
    "AReaL": ({"query_id": "q1", "prompt": "p", "task": "code", "input_output": dumps(IO), "solutions": [READ], "language": "PYTHON"}, "q1", StdioTests, PROGRAM),
    "rllm, LeetCode": ({"question": "q", "ground_truth": dumps({"functional": "def check(candidate):\n    assert candidate(2) == 4\n"}), "data_source": "leetcode"}, "0", CodeTests, SOLUTION),
    "verifiers": ({"question": "q", "answer": "", "info": dumps({"tests": dumps(VERIFIABLE_IO)}), "task": "code"}, "0", StdioTests, PROGRAM),
    "ODEX": ({"task_id": 32, "prompt": "def double(x):\n\treturn ", "suffix": "", "canonical_solution": "x * 2", "test_start": "\ndef check(candidate):", "test": ["\n    assert candidate(2) == 4\n"], "entry_point": "double", "library": []}, "32", CodeTests, FUNCTION),
    "HumanEval-V": ({"qid": "q1", "ground_truth_solution": DEF, "test_script": "def test():\n    assert double(2) == 4\n\ntest()"}, "q1", CodeTests, FUNCTION),
    "NaturalCodeBench": ({"_id": 1, "prompt": "p", "testcases": "class Testdouble:\n    def test_1(self):\n        assert double(2) == 4\n"}, "1", CodeTests, FUNCTION),
    "LiveBench": (LIVEBENCH, "lb", CallTests, SOLUTION),
    "unit tests under that name": ({"task_id": "o", "prompt": "q", "unit_tests": ["assert double(2) == 4"]}, "o", CodeTests, FUNCTION),
    "own, by name": ({"task_id": "o", "entry_point": "double", "tests": [{"input": {"x": 3}, "output": 6}]}, "o", CallTests, FUNCTION),
    "own, as LeetCode writes them": ({"task_id": "o", "function_name": "double", "tests": [{"input": "x = 3", "output": "6"}]}, "o", CallTests, FUNCTION),
    "own, texts": ({"task_id": "o", "fn_name": "rev", "tests": [{"input": "abc", "expected": "cba"}, {"input": "5", "expected": "5"}]}, "o", CallTests, ("def rev(s): return s[::-1]", "def rev(s): return s")),
    "own, nothing": ({"task_id": "o", "entry_point": "f", "tests": [{"input": [3], "output": None}]}, "o", CallTests, ("def f(n): pass", "def f(n): return 1")),
    "own, expected_output": ({"task_id": "o", "tests": [{"stdin": "3\n", "expected_output": "6\n"}]}, "o", StdioTests, PROGRAM),
    "own, in and out": ({"task_id": "o", "tests": [{"in": "3\n", "out": "5\n", "accepted": ["6\n"]}]}, "o", StdioTests, PROGRAM),
    "own, input and output": ({"task_id": "o", "tests": [{"input": "3\n", "output": "6\n"}]}, "o", StdioTests, PROGRAM),
    "own, JSON in a string": ({"task_id": "o", "entry_point": "double", "tests": "[[[3], 6]]"}, "o", CallTests, FUNCTION),
    "own, inputs and outputs": ({"task_id": "o", "tests": IO}, "o", StdioTests, PROGRAM),
}  # fmt: skip


def load(tmp_path, *rows):
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_problems(path)


@pytest.fixture(scope="module")
def grader():
    with CodeGrader(Limits(workers=2)) as grader:
        yield grader


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_row(name, tmp_path, grader):
    row, task_id, kind, (right, wrong) = DATA_SETS[name]
    (problem,) = load(tmp_path, row)
    assert (problem.task_id, type(problem.tests)) == (task_id, kind)
    grades = grader.grade_batch([(problem, right), (problem, wrong)])
    assert [grade.verdict.value for grade in grades] == ["passed", "wrong_answer"], grades
    if problem.reference is not None:
        assert grader.grade(problem, problem.reference).verdict == "passed"


def test_nulls_are_fields_of_other_rows(tmp_path):
    """Tables that were put together: a column of one data set is null in the rows of the others."""
    rows = {name: DATA_SETS[name][0] for name in ("HumanEval-X", "DeepCoder, LiveCodeBench's part", "own, nothing")}
    nulls = dict.fromkeys(key for row, *_ in DATA_SETS.values() for key in row)
    expected = [load(tmp_path, row)[0].tests for row in rows.values()]
    assert [load(tmp_path, nulls | row)[0].tests for row in rows.values()] == expected


USELESS = {
    "APPS, empty": APPS | {"input_output": ""},
    "APPS, empty lists": APPS | {"input_output": dumps({"inputs": [], "outputs": []})},
    "APPS, unequal": APPS | {"input_output": dumps({"inputs": ["1"], "outputs": []})},
    "TACO, calls without tests": TACO | {"input_output": dumps(CALLS | {"inputs": [], "outputs": []})},
    "TACO, arguments by other names": GFG | {"starter_code": "class Solution:\n    def count(self, a, n):"},
    "TACO, results that nobody can read": GFG | {"input_output": dumps({"inputs": ["n = 2"], "outputs": ["1 2"]})},
    "CodeContests, no tests": CONTEST | {"public_tests": {"input": [], "output": []}, "generated_tests": {"input": [], "output": []}},
    "CodeContests, files": CONTEST | {"input_file": "in.txt"},
    "codeforces, no tests": CODEFORCES | {"official_tests": None},
    "codeforces, interactive": CODEFORCES | {"interaction_format": "You ask."},
    "codeforces, files": CODEFORCES | {"input_mode": "file"},
    "PRIME, empty": EURUS | {"reward_model": {"ground_truth": dumps({"inputs": [], "outputs": []})}},
    "verifiable, none": VERIFIABLE | {"verification_info": {"language": "python", "test_cases": []}},
    "PRIME, mathematics": EURUS | {"ability": "math", "reward_model": {"ground_truth": "34", "style": "rule"}},
    "PRIME, more of it": EURUS | {"ability": "math", "reward_model": {"ground_truth": r"\frac{1}{2}", "style": "rule"}},
    "open-instruct, mathematics": {"messages": [], "ground_truth": "42", "dataset": "math"},
    "SYNTHETIC, mathematics": VERIFIABLE | {"verification_info": dumps({"ground_truth": "12"})},
    "SYNTHETIC, for a judge": VERIFIABLE | {"verification_info": "{}"},
    "CodeContests+, a checker in C++": {"id": "1_A", "description": "d", "test_cases": [{"input": "3", "output": "6"}], "checker": "#include <testlib.h>"},
    "HumanEval-Infilling": BIGCODE | {"prompt": "def double(x):\n", "suffix": "    return y\n"},
    "HumanEval-X, C++": HUMANEVAL_X | {"task_id": "CPP/0", "prompt": "int f(int x) {", "test": "int main() {}"},
    "mxeval, Java": {"task_id": "HumanEval/0", "language": "java", "prompt": "class A {", "test": "x", "entry_point": "f"},
    "DeepCoder, none": DEEPCODER | {"tests": "[]"},
    "LiveCodeBench, none": LCB | {"public_test_cases": "[]", "private_test_cases": "[]"},
}  # fmt: skip


@pytest.mark.parametrize("name", USELESS)
def test_a_row_that_nothing_could_grade_is_left_out_and_said(name, tmp_path):
    good = {"task_id": "good", "tests": [{"stdin": "", "stdout": ""}]}
    with pytest.warns(CrestfallWarning, match=r"left out, for nothing could grade it: .*p\.jsonl:2: "):
        problems = load(tmp_path, good, USELESS[name])
    assert [problem.task_id for problem in problems] == ["good"]
    with pytest.raises(InputError, match="the file holds no problems: left out"):
        load(tmp_path, USELESS[name])


ELSEWHERE = {
    "SWE-bench": {"instance_id": "a__b-1", "repo": "a/b", "patch": "d", "test_patch": "d", "problem_statement": "p", "FAIL_TO_PASS": "[]"},
    "DS-1000": {"prompt": "p", "reference_code": "x = 1", "metadata": {}, "code_context": "def test_execution(solution): ..."},
    "AIME": {"problem": "q", "answer": "42"},
    "own, a test without an output": {"task_id": "o", "tests": [{"input": "3"}]},
    "own, calls of nothing": {"task_id": "o", "tests": [["3\n", "6\n"]]},
}  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_row_of_something_else_is_refused(name, tmp_path):
    good = {"task_id": "good", "tests": [{"stdin": "", "stdout": ""}]}
    with pytest.raises(InputError, match=r"p\.jsonl:2: "):
        load(tmp_path, good, ELSEWHERE[name])


def test_integers_of_any_length(tmp_path, grader):
    big = "9" * 5000
    text = dumps(APPS | {"input_output": '{"inputs": ["3\\n"], "outputs": [' + big + "]}"})
    (tmp_path / "p.jsonl").write_text(text)
    (problem,) = load_problems(tmp_path / "p.jsonl")
    assert problem.tests.cases[0].stdout == big
    calls = '{"fn_name": "double", "inputs": [[1]], "outputs": [' + big + "]}"
    (problem,) = load(tmp_path, APPS | {"input_output": calls})
    assert grader.grade(problem, "def double(x): return 10**5000 - x").passed


def test_checkers_of_codeforces_are_taken_along(tmp_path):
    (problem,) = load(tmp_path, CODEFORCES | {"generated_checker": CHECKER})
    assert problem.tests.checker == CHECKER


def test_limits_for_compiled_programs_are_kept_and_not_applied(tmp_path):
    for row in (TACO | {"input_output": dumps(IO)}, CONTEST, CODEFORCES):
        (problem,) = load(tmp_path, row)
        assert problem.meta["time_limit"]
        assert problem.limits.cpu_seconds is None
