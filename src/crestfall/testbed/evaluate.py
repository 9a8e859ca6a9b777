"""pass@1 of a policy as it is on a benchmark, by the sampler and grader that campaigns use.

  python -m crestfall.testbed.evaluate --out base.jsonl policy.name=hf policy.model=MODEL policy.max_tokens=256 \\
      tasks.name=mbpp tasks.path=mbpp.jsonl tasks.examples=3 --rows 10:510

Writes a line a problem; the same command again does what is missing. Greedy; `--samples N` draws N more at
`--temperature`. Prints one JSON object at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from crestfall.core.build import build, component, plain
from crestfall.core.errors import ConfigError, CrestfallError, GraderError, InputError
from crestfall.core.passk import pass_at_k
from crestfall.core.rng import stream
from crestfall.core.types import Problem, Verdict
from crestfall.grading import CodeGrader, Limits
from crestfall.store import yaml
from crestfall.store.events import EventLog, read_events
from crestfall.store.files import digest, write_atomic
from crestfall.store.rows import Row
from crestfall.testbed.policies.base import LoadedPolicy


class Benchmark(Protocol):
    """What is asked of a task source here: all of its rows, in the order of the file, and how it poses them."""

    def rows(self) -> Iterator[Row]: ...

    def read(self, row: Row) -> Problem | None: ...

    def pose(self, problem: Problem, rows: Mapping[str, Row]) -> Problem: ...


def problems_of(source: Benchmark) -> list[Problem]:
    """Every problem as the source poses it. Pools do not matter here: nothing is trained."""
    read = [(source.read(row), row) for row in source.rows()]
    rows = {problem.task_id: row for problem, row in read if problem is not None}
    return [source.pose(problem, rows) for problem, _ in read if problem is not None]


def evaluated(
    policy: LoadedPolicy, problems: Sequence[Problem], max_tokens: int, samples: int, temperature: float, grader: Any
) -> Iterator[dict[str, Any]]:
    """A line for each problem. Raises GraderError where the grader itself fails."""
    group = samples + 1
    uniforms = np.stack([stream("evaluate", p.task_id).random((group, max_tokens), dtype=np.float32) for p in problems])
    start = time.perf_counter()
    drawn = policy.sample(problems, uniforms, temperature, greedy=True)
    seconds = (time.perf_counter() - start) / len(problems)
    grades = grader.grade_batch(list(zip(drawn.problem_N, drawn.programs_N, strict=True)))
    faults = [grade.detail for grade in grades if grade.verdict is Verdict.INFRA]
    if faults:
        raise GraderError(f"the grader failed on {len(faults)} of {len(grades)} programs: {faults[0]}")
    for p, problem in enumerate(problems):
        rows = range(p * group, (p + 1) * group)
        greedy = rows[-1]
        yield {
            "task_id": problem.task_id,
            "n": samples,
            "passed": sum(grades[n].passed for n in rows[:-1]),
            "greedy": grades[greedy].passed,
            "verdict": grades[greedy].verdict.value,
            "tokens": sum(len(drawn.tokens_N[n]) for n in rows),
            "truncated": float(drawn.truncated_N[list(rows)].mean()),
            "seconds": round(seconds, 3),
            "text": drawn.texts_N[greedy],
            "program": drawn.programs_N[greedy],
        }


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rates with their 95% intervals over problems."""
    greedy = pass_at_k([1] * len(lines), [int(line["greedy"]) for line in lines], 1)
    seconds = sum(line["seconds"] for line in lines)
    out: dict[str, Any] = {
        "problems": len(lines),
        "greedy_pass_at_1": greedy.value,
        "greedy_interval": [greedy.low, greedy.high],
        "truncated": float(np.mean([line["truncated"] for line in lines])),
        "sampling_seconds": round(seconds, 1),
        "tokens_per_second": round(sum(line["tokens"] for line in lines) / max(seconds, 1e-9), 2),
    }
    if lines[0]["n"]:
        sampled = pass_at_k([line["n"] for line in lines], [line["passed"] for line in lines], 1)
        out |= {"n": lines[0]["n"], "pass_at_1": sampled.value, "interval": [sampled.low, sampled.high]}
    return out


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Raises CrestfallError for bad input."""
    options = yaml.overrides(args.overrides)
    if unknown := set(options) - {"policy", "tasks", "grader"}:
        raise ConfigError(f"{min(unknown)}: only policy, tasks and grader are asked for here")
    config = component("policy", options.get("policy"), "policy")
    source = component("tasks", options.get("tasks"), "tasks")
    if not hasattr(source, "rows"):
        raise ConfigError("tasks: a benchmark is needed, of which all problems can be listed")
    asked = {"samples": args.samples, "temperature": args.temperature, "policy": plain(config), "tasks": plain(source)}
    done = _done(args.out, asked)
    chosen = problems_of(source)[_slice(args.rows)]
    missing = [problem for problem in chosen if problem.task_id not in done]
    if missing:
        import torch

        torch.set_num_threads(args.threads)
        policy = config.load()
        with CodeGrader(build(Limits, options.get("grader", {}), "grader")) as grader:
            for start in range(0, len(missing), args.batch):
                batch = missing[start : start + args.batch]
                lines = list(evaluated(policy, batch, config.max_tokens, args.samples, args.temperature, grader))
                EventLog(args.out).append([json.dumps(line) for line in lines])
                done |= {line["task_id"]: line for line in lines}
                so_far = summary(list(done.values()))
                print(f"{len(done)} problems: {json.dumps(so_far)}", file=sys.stderr, flush=True)
    wanted = [done[problem.task_id] for problem in chosen]
    if not wanted:
        raise ConfigError(f"--rows {args.rows}: no problems there")
    return {"out": str(args.out), **summary(wanted)}


def _done(path: Path, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines that an earlier run wrote, by task_id. Raises InputError for another run's file."""
    mark = digest(asked)
    lines = list(read_events(path))
    if lines and lines[0].get("digest") != mark:
        raise InputError(f"{path}: written with other options; name another --out or remove it")
    # Written anew: a line that a crash has torn must not become the beginning of the next.
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"digest": mark, **asked}
    write_atomic(path, "".join(f"{json.dumps(line)}\n" for line in lines or [header]))
    return {line["task_id"]: line for line in lines[1:]}


def _slice(text: str) -> slice:
    try:
        start, stop = (int(part) if part else None for part in text.split(":"))
    except ValueError:
        raise ConfigError(f"--rows {text}: expected START:STOP, counted from 0") from None
    return slice(start, stop)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m crestfall.testbed.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="options of policy, tasks and grader")
    parser.add_argument("--out", type=Path, required=True, help="a JSONL file")
    parser.add_argument("--rows", default=":", help="START:STOP of the benchmark's problems (default: all)")
    parser.add_argument("--samples", type=int, default=0, help="beside the greedy one (default 0)")
    parser.add_argument("--temperature", type=float, default=0.7, help="of the samples")
    parser.add_argument("--batch", type=int, default=20, help="problems sampled, graded and written at a time")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    try:
        print(json.dumps(run(parser.parse_intermixed_args(argv))))
    except CrestfallError as error:
        print(f"crestfall: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
