"""Write 150 very easy problems in HumanEval's form: what a small base model can do now and then.

    python examples/easy_problems.py easy.jsonl
    crestfall run mbpp_hf tasks.name=humaneval tasks.path=easy.jsonl policy.model=MODEL policy.max_tokens=24 ...

MBPP and HumanEval are out of reach of a model of a few hundred million parameters; without a reward no weight moves.
"""

import argparse
import json
import sys
from pathlib import Path

from crestfall.core.entry import guarded

# What the docstring says the function returns, and how. `{k}` is one of 2 to 11.
FUNCTIONS = (
    ("add {k} to x", "x + {k}"),
    ("subtract {k} from x", "x - {k}"),
    ("multiply x by {k}", "x * {k}"),
    ("the square of x plus {k}", "x * x + {k}"),
    ("{k} minus x", "{k} - x"),
    ("x modulo {k}", "x % {k}"),
    ("the larger of x and {k}", "max(x, {k})"),
    ("the smaller of x and {k}", "min(x, {k})"),
    ("True if x is greater than {k}", "x > {k}"),
    ("True if x is divisible by {k}", "x % {k} == 0"),
    ("twice x plus {k}", "2 * x + {k}"),
    ("the absolute difference of x and {k}", "abs(x - {k})"),
    ("x divided by {k}, rounded down", "x // {k}"),
    ("a list of {k} copies of x", "[x] * {k}"),
    ("x as a string repeated {k} times", "str(x) * {k}"),
)
INPUTS = (0, 1, 7, -3, 20)


def problem(index: int, k: int) -> dict[str, str]:
    says, expression = (text.format(k=k) for text in FUNCTIONS[index])
    name = f"f{index}_{k}"
    asserts = [f"    assert candidate({x}) == {eval(expression, {'x': x})!r}" for x in (*INPUTS, k)]
    return {
        "task_id": f"easy/{name}",
        "prompt": f'def {name}(x):\n    """Return {says}."""\n',
        "entry_point": name,
        "canonical_solution": f"    return {expression}\n",
        "test": "\n".join(["def check(candidate):", *asserts]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("easy.jsonl"))
    out = parser.parse_args().out
    rows = [problem(index, k) for k in range(2, 12) for index in range(len(FUNCTIONS))]
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{out}: {len(rows)} problems")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
