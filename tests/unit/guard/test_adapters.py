"""Rewards for trainers, each on rows of the shape that the trainer's own data sets have."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from crestfall.core.errors import CrestfallWarning, InputError
from crestfall.grading import CodeGrader, Limits
from crestfall.guard.adapters import CodeEnv, code_reward, reward_func
from crestfall.guard.ground_truths import problem_of_truth
from crestfall.guard.rewards import compute_score, compute_scores, trl_reward

READ = "<think>input, twice</think>\nSo:\n```python\nprint(int(input()) * 2)\n```<|im_end|>"
READ_WRONG = READ.replace("* 2", "* 3")
FUNCTION = "```python\ndef double(x):\n    return x * 2\n```"
METHOD = "```python\nclass Solution:\n    def double(self, x: int) -> int:\n        return x * 2\n```"

IO = {"inputs": ["3\n", "4\n"], "outputs": ["6\n", "8\n"]}
CALLS = {"fn_name": "double", "inputs": [[3], [4]], "outputs": [[6], [8]]}
CASES = [
    {"type": "stdin_stdout", "input": "3\n", "output": "6\n"},
    {"type": "stdin_stdout", "input": "0\n", "output": "0\n"},
]
LCB = [{"input": "3", "output": "6", "testtype": "functional", "metadata": {"func_name": "double"}}]
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def double(x):\n",
    "entry_point": "double",
    "test": "def check(f):\n    assert f(3) == 6\n",
}

TRUTHS = {
    "PRIME": (json.dumps(IO), READ),
    "PRIME, an object": (IO, READ),
    "PRIME, calls": (json.dumps(CALLS), METHOD),
    "numpy's arrays": ({"inputs": np.array(IO["inputs"], object), "outputs": np.array(IO["outputs"], object)}, READ),
    "DeepCoder": (json.dumps(CASES), READ),
    "DeepCoder, LiveCodeBench": (json.dumps(LCB), METHOD),
    "open-r1": ({"language": "python", "test_cases": CASES}, READ),
    "asserts": (json.dumps(["assert double(3) == 6"]), FUNCTION),
    "assert_case": (json.dumps({"assert_case": "assert double(3) == 6", "entry_point": "double"}), FUNCTION),
    "functional": (json.dumps({"functional": "def check(f):\n    assert f(3) == 6\n\ncheck(double)"}), FUNCTION),
    "import_prefix": (
        json.dumps(
            {
                "import_prefix": "from typing import *\n",
                "test_code": "def check(f):\n    assert f(x=3) == 6\n",
                "entry_point": "Solution().double",
            }
        ),
        METHOD,
    ),
    "code": ("from solution import double\n\ndef test_it():\n    assert double(3) == 6\n", FUNCTION),
    "a row of HumanEval": (json.dumps(HUMANEVAL), "    return x * 2\n"),
    "an own row": (json.dumps({"entry_point": "double", "tests": [[[3], 6]]}), FUNCTION),
}


def wrong(answer: str) -> str:
    return answer.replace("* 2", "* 3")


@pytest.mark.parametrize("name", TRUTHS)
def test_every_adapter_takes_every_ground_truth(name):
    truth, answer = TRUTHS[name]
    assert compute_score("src", answer, truth) == 1.0
    assert compute_score(None, wrong(answer), truth, extra_info={"index": 1}) == 0.0
    assert compute_scores(["src"] * 2, [answer, wrong(answer)], [truth] * 2, extra_infos=[None] * 2) == [1.0, 0.0]
    env = CodeEnv({}, {"reward_spec": {"method": "rule", "ground_truth": truth}, "max_turns": 1})
    assert env.init([{"role": "user", "content": "q"}]) == ([{"role": "user", "content": "q"}], {})
    done = env.step(answer)
    assert (done["reward"], done["done"], done["metadata"]["verdict"]) == (1.0, True, "passed")
    assert env.step(wrong(answer))["reward"] == 0.0
    messages = [{"role": "assistant", "content": answer}]
    assert asyncio.run(code_reward(completion=messages, answer="", info={"ground_truth": truth}, state={})) == 1.0
    if isinstance(truth, str):
        assert asyncio.run(code_reward(completion=wrong(answer), answer=truth)) == 0.0
    with CodeGrader(Limits(workers=1)) as grader:
        reward = trl_reward(None, grader, column="ground_truth")
        assert reward(completions=[messages, wrong(answer)], ground_truth=[truth] * 2) == [1.0, 0.0]


def test_openrlhf():
    torch = pytest.importorskip("torch")
    prompts = ["<|im_start|>user\nDouble it.<|im_end|>\n<|im_start|>assistant\n"] * 3
    queries = [prompts[0] + READ, prompts[0] + READ_WRONG, prompts[0].rstrip() + READ]
    out = reward_func(queries, prompts, [json.dumps(IO)] * 3)
    assert out["rewards"].tolist() == out["scores"].tolist() == [1.0, 0.0, 1.0]
    assert isinstance(out["extra_logs"]["ungraded"], torch.Tensor)


def test_rows_of_open_r1_in_trl():
    """`verification_info` as the data set has it; what nothing could grade is no reward."""
    with CodeGrader(Limits(workers=1)) as grader:
        reward = trl_reward(None, grader, column="verification_info")
        rows = [{"language": "python", "test_cases": CASES}, json.dumps({"language": "python", "test_cases": []})]
        with pytest.warns(CrestfallWarning, match="could not be graded"):
            assert reward(completions=[READ, READ], verification_info=rows) == [1.0, None]


def test_the_share_of_tests_passed():
    half = json.dumps([*CASES, {"type": "stdin_stdout", "input": "1\n", "output": "5\n"}])
    assert compute_score("src", READ, half, share=True) == pytest.approx(2 / 3)
    assert compute_score("src", READ, half) == 0.0


def test_a_problem_is_prepared_once_for_a_group():
    assert problem_of_truth(json.dumps(IO)) is problem_of_truth(json.dumps(IO))
    assert problem_of_truth(dict(IO)) is problem_of_truth(dict(IO))


def test_what_is_no_ground_truth_is_said():
    with pytest.raises(InputError, match="src: tests of no known shape"):
        compute_score("src", READ, "42 apples")
    with pytest.raises(InputError, match="no reward_spec"):
        CodeEnv({}, {"prompt": []})
    with pytest.raises(InputError, match="neither info nor answer"):
        asyncio.run(code_reward(completion=READ, answer="", info={}))
