"""`crestfall evaluate key=value ... --out F.jsonl`: pass@1 of a policy as it is on a benchmark.

    crestfall evaluate policy.name=hf policy.model=MODEL policy.max_tokens=256 \\
        tasks.name=mbpp tasks.path=mbpp.jsonl tasks.examples=3 --rows 10:510 --out base.jsonl
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from crestfall.cli.common import console_of
from crestfall.cli.numbers import amount, count
from crestfall.core.entry import say
from crestfall.core.errors import ConfigError
from crestfall.store import yaml

EXAMPLE = "crestfall evaluate policy.name=hf policy.model=MODEL tasks.name=mbpp tasks.path=mbpp.jsonl --out base.jsonl"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="options of policy, tasks and grader")
    parser.add_argument("--out", type=Path, required=True, metavar="F.jsonl", help="file to write")
    parser.add_argument("--rows", default=":", metavar="START:STOP", help="rows of the benchmark (default: all)")
    samples, temperature = count(0, 100_000), amount(0, 100, above=True)
    parser.add_argument(
        "--samples", type=samples, default=0, help="samples per problem besides the greedy one (default 0)"
    )
    parser.add_argument("--temperature", type=temperature, default=0.7, help="sampling temperature (default 0.7)")
    parser.add_argument("--batch", type=count(), default=20, help="problems per batch (default 20)")
    parser.add_argument("--threads", type=count(1, 256), default=1, help="CPU threads of torch")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from crestfall.testbed.evaluate import Request, evaluate

    options = yaml.overrides(args.overrides)
    request = Request(options, _slice(args.rows), args.samples, args.temperature, args.batch, args.threads)
    result = evaluate(request, args.out, say)
    if not args.json:
        console = console_of(args)
        low, high = result["greedy_interval"]
        console.print(
            f"greedy pass@1 {result['greedy_pass_at_1']:.1%} [{low:.1%}, {high:.1%}] on {result['problems']} problems"
        )
        if "pass_at_1" in result:
            low, high = result["interval"]
            console.print(f"pass@1 {result['pass_at_1']:.1%} [{low:.1%}, {high:.1%}], n = {result['n']} samples each")
    return result


def _slice(text: str) -> slice:
    try:
        start, stop = (int(part) if part else None for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"--rows {text}: expected START:STOP, two row numbers counted from 0") from None
    return slice(start, stop)
