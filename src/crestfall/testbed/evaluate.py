"""pass@1 of a policy as it is on a benchmark, by the sampler and grader that campaigns use: `crestfall evaluate`.

A line a problem is written as it comes; the same command again does what is missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from crestfall.core.build import build, component, plain
from crestfall.core.errors import ConfigError, GraderError, InputError
from crestfall.core.passk import pass_at_k
from crestfall.core.rng import stream
from crestfall.core.types import Problem
from crestfall.grading import CodeGrader, Limits
from crestfall.store.events import EventLog, read_events
from crestfall.store.files import check_writable, digest, write_atomic, writing
from crestfall.store.rows import Row
from crestfall.testbed.policies.base import LoadedPolicy


class Benchmark(Protocol):
    """Interface of a task source for evaluation: all of its rows, in the order of the file, and how it poses them."""

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
    faults = [grade.detail for grade in grades if grade.ungraded]
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


@dataclass(frozen=True)
class Request:
    """Request for an evaluation: policy, problems and sampling. Greedy always; `samples` more are drawn at
    `temperature`."""

    options: Mapping[str, Any]
    """`policy`, `tasks` and `grader`, as a configuration has them."""
    rows: slice
    samples: int = 0
    temperature: float = 0.7
    batch: int = 20
    """Problems sampled, graded and written at a time."""
    threads: int = 1


def evaluate(request: Request, out: Path, tell: Callable[[str], Any]) -> dict[str, Any]:
    """The summary, with all lines in `out`. Raises CrestfallError for bad input."""
    if unknown := set(request.options) - {"policy", "tasks", "grader"}:
        raise ConfigError(f"{min(unknown)}: only policy, tasks and grader are asked for here")
    config = component("policy", request.options.get("policy"), "policy")
    source = component("tasks", request.options.get("tasks"), "tasks")
    if not hasattr(source, "rows"):
        raise ConfigError("tasks: a benchmark is needed, of which all problems can be listed")
    limits = build(Limits, request.options.get("grader", {}), "grader")
    chosen = problems_of(source)[request.rows]
    if not chosen:
        raise ConfigError("--rows: no problems there")
    asked = {
        "samples": request.samples,
        "temperature": request.temperature,
        "policy": plain(config),
        "tasks": plain(source),
    }
    done = _done(out, asked)
    check_writable(out.parent)
    missing = [problem for problem in chosen if problem.task_id not in done]
    if missing:
        import torch

        torch.set_num_threads(request.threads)
        policy = config.load()
        _begin(out, asked, list(done.values()))
        with CodeGrader(limits) as grader:
            for start in range(0, len(missing), request.batch):
                batch = missing[start : start + request.batch]
                lines = list(evaluated(policy, batch, config.max_tokens, request.samples, request.temperature, grader))
                EventLog(out).append([json.dumps(line) for line in lines])
                done |= {line["task_id"]: line for line in lines}
                tell(f"{len(done)} problems: {json.dumps(summary(list(done.values())))}")
    return {"out": str(out), **summary([done[problem.task_id] for problem in chosen])}


def _done(path: Path, asked: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines that an earlier run wrote, by task_id. Raises InputError for another run's file."""
    lines = list(read_events(path))
    if (not lines and path.exists() and path.stat().st_size) or (lines and lines[0].get("digest") != digest(asked)):
        raise InputError(f"{path}: something else, or written with other options; name another --out or remove it")
    return {line["task_id"]: line for line in lines[1:]}


def _begin(path: Path, asked: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> None:
    """Written anew: a line that a crash has torn must not become the beginning of the next."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    header = {"digest": digest(asked), **asked}
    write_atomic(path, "".join(f"{json.dumps(line)}\n" for line in (header, *lines)))
