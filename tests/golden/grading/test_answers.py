"""Code is found in answers as people's tools find it: every answer of `answers.py` gets the verdict that it is owed."""

from __future__ import annotations

import random
import time

import pytest

from answers import ANSWERS, BAD, BODY, DEF, DOUBLE, PROBLEMS, READ, WHOLE, Answer
from crestfall.grading import CodeGrader, Limits
from crestfall.grading.programs import program_of


@pytest.fixture(scope="module")
def verdicts() -> dict[str, str]:
    pairs = [(PROBLEMS[answer.problem], program_of(PROBLEMS[answer.problem], answer.text)) for answer in ANSWERS]
    with CodeGrader(Limits(workers=2)) as grader:
        grades = grader.grade_batch(pairs)
    return {answer.label: grade.verdict.value for answer, grade in zip(ANSWERS, grades, strict=True)}


def test_labels_are_distinct():
    assert len({answer.label for answer in ANSWERS}) == len(ANSWERS) >= 100


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.label)
def test_verdict(answer: Answer, verdicts):
    assert verdicts[answer.label] == answer.verdict, program_of(PROBLEMS[answer.problem], answer.text)


FRAGMENTS = [
    *("```", "```python\n", "```\n", "~~~\n", "\n", "\n\n", "    ", "<think>", "</think>", "<|im_end|>", "[DONE]", "`"),
    *(">>> ", "<pre>", "<code class=", "\u00a0", "<|channel|>", "analysisWe", "{", "}", '{"arguments": [', "In [1]: "),
    *(
        '"""',
        "(",
        "\ud800",
        "\0",
        "\t",
        "def double(n):",
        "@",
        "prose, and more: ",
        "> ",
        "1. ",
        DEF,
        BAD,
        BODY,
        WHOLE,
        READ,
    ),
]


def test_any_text_makes_some_program():
    """No mix of what answers consist of raises."""
    draw = random.Random(0)
    for _ in range(400):
        text = "".join(draw.choice(FRAGMENTS) for _ in range(draw.randrange(30)))
        for problem in PROBLEMS.values():
            assert isinstance(program_of(problem, text), str)


LONG = {
    "blanks behind a fence": "Here:\n```" + " " * 100_000,
    "fences in one line": "``` " * 25_000,
    "fences": "```\n" * 25_000,
    "tags": "```python\n" * 10_000,
    "blocks": "```python\nprint(1\n```\n" * 4_500,
    "thinking": "<think>" * 14_000,
    "brackets": "(" * 100_000,
    "quotes": '"""\n' * 25_000,
    "prose": "A line of prose: it has (some) code(x) in it, and an 'apostrophe\n" * 1_500,
    "words": "word\n" * 20_000,
    "list": "- " * 50_000,
    "tags of HTML": "<pre <code " * 9_000,
    "pages": "<pre><code> x" * 8_000,
    "prompts": ">>> def f(:\n... \n" * 6_000,
    "channels": "<|channel|>analysis" * 5_000,
    "braces": '```json\n{"code": ' + "}    " * 20_000,
    "spaces that do not break": "x\u00a0= 1\n" * 16_000,
}


@pytest.mark.parametrize("name", LONG)
def test_time_is_linear_in_the_length_of_an_answer(name):
    """Four times the text takes four times as long, quadratic code sixteen times. Of CPU time, the least of three."""

    def seconds(text: str) -> float:
        start = time.process_time()
        program_of(DOUBLE, text)
        return time.process_time() - start

    whole, quarter = LONG[name], LONG[name][: len(LONG[name]) // 4]
    if seconds(whole) > 0.5:
        short, long = (min(seconds(text) for _ in range(3)) for text in (quarter, whole))
        assert long < 0.5 or long < 10 * short, f"{short:.2f} s for a quarter of it, {long:.2f} s for all"


def test_an_answer_behind_long_thinking_is_found():
    text = "<think>\n" + "Let me see whether double(n) is n + n.\n" * 2_500 + f"</think>\n```python\n{DEF}```\n"
    assert program_of(DOUBLE, text) == DEF


@pytest.mark.parametrize("line", ["from solution import double", "from my_module import (double)"])
def test_an_example_that_imports_the_function_is_not_its_definition(line):
    text = f"```python\n{DEF}```\nTry it:\n```python\n{line}\nprint(double(2))\n```\n"
    assert program_of(DOUBLE, text) == DEF
    alone = "```python\nfrom operator import inv as double\n```\n"
    assert program_of(DOUBLE, alone) == "from operator import inv as double\n"


@pytest.mark.parametrize("body", ["...", "pass"])
def test_the_last_definition_counts_even_without_a_body(body):
    signature = f"def double(n):\n    {body}\n"
    assert program_of(DOUBLE, f"```python\n{DEF}```\nUsage:\n```python\n{signature}```\n") == signature
