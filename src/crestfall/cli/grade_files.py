"""The files of `crestfall grade`: what is read, what is written, and what a grading that was broken off left."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crestfall.core.entry import say
from crestfall.core.errors import ConfigError, InputError
from crestfall.core.types import Grade, Problem
from crestfall.grading.kept import KeptGrades
from crestfall.grading.problems.formats import left_out_line, stream_problems
from crestfall.grading.problems.humaneval import STOP
from crestfall.grading.progress import progress_bar
from crestfall.grading.results import write_lines
from crestfall.grading.samples import Assembly, Matcher, Sample, Written, assembled, none_known, read_samples
from crestfall.grading.stream import Placed, grade_stream
from crestfall.store.rows import Row, read_rows

if TYPE_CHECKING:
    from rich.console import Console

    from crestfall.grading import CodeGrader

STOPS = {"humaneval": STOP}


@dataclass
class Coverage:
    """Problems and samples that the scores leave out."""

    problems: int = 0
    missing: list[str] = field(default_factory=list)
    """Problems without a sample (or, of `--references`, without a reference)."""
    unknown: list[Written] = field(default_factory=list)
    null: int = 0
    left_out: list[str] = field(default_factory=list)
    references: bool = False

    @property
    def incomplete(self) -> bool:
        return not self.references and bool(self.missing or self.unknown or self.null)

    def summary(self) -> dict[str, Any]:
        return {
            "problems": self.problems,
            "missing": self.missing,
            "unknown": sorted({sample.task_id for sample in self.unknown}),
            "null": self.null,
            "left_out": self.left_out,
        }

    def lines(self) -> Iterator[str]:
        what = "no reference" if self.references else "no sample: the scores are over the others"
        if self.missing:
            yield f"{len(self.missing)} of {self.problems} problems have {what} ({some(self.missing)})"
        if self.unknown:
            ids = list(dict.fromkeys(sample.task_id for sample in self.unknown))
            where = self.unknown[0].row.where
            yield f"{len(self.unknown)} samples are of tasks that no problem has, and skipped ({some(ids)}; {where})"
        if self.null:
            yield f"{self.null} samples were never written (null): graded no_code, so failed"
        if self.left_out:
            yield left_out_line(self.left_out)


def some(ids: Sequence[str]) -> str:
    """The first few of them."""
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")


@dataclass
class Files:
    """Inputs and outputs of `crestfall grade`. An output that cannot be written is refused before the first program."""

    args: argparse.Namespace

    @classmethod
    def of(cls, args: argparse.Namespace) -> Files:
        """Raises ConfigError: an output that cannot be written, or is an input."""
        if args.json and str(args.out) == "-":
            raise ConfigError("--out -: standard output is taken by --json")
        inputs = [path for path in (args.problems, args.samples, args.prompts) if path is not None]
        outputs = {"--out": args.out, "--evalplus-out": args.evalplus_out}
        for option, path in outputs.items():
            if path is not None:
                _check_output(option, path, inputs)
        if args.out is not None and args.evalplus_out is not None and _same(args.out, args.evalplus_out):
            raise ConfigError(f"--out and --evalplus-out name the same file: {args.out}")
        return cls(args)

    def graded(self, grader: CodeGrader, console: Console) -> tuple[list[Sample], list[Grade], Coverage]:
        """All samples with their grades. Raises KeyboardInterrupt: what was graded is kept and said."""
        args = self.args
        coverage = Coverage(references=args.references)
        written = [] if args.references else read_samples(args.samples)
        placed = self._references(coverage) if args.references else self._samples(written, coverage)
        kept = KeptGrades(self._partial())
        if kept.found:
            say(f"going on from {kept.found} grades in {self._partial()}")
        with progress_bar(len(written), not args.json and bool(written)) as bar:

            def advance(count: int) -> None:
                for _ in range(count):
                    bar()

            try:
                results = grade_stream(grader, placed, kept, advance, bool(args.against) or args.repeat > 1)
            except KeyboardInterrupt:
                where = f"are kept in {self._partial()}" if self._partial() else "are lost, for there is no --out"
                say(f"the grades of {len(kept)} programs {where}")
                raise
        if not results:
            raise none_known(written) if written else InputError(f"{args.problems}: no problem has a reference")
        samples, grades = zip(*results, strict=True)
        return list(samples), list(grades), coverage

    def write(self, lines: list[dict[str, Any]]) -> None:
        """The results, and no longer what was kept of them."""
        out = self.args.out
        if out is None:
            return
        if _is_stream(out):
            with os.fdopen(os.dup(1), "w") if str(out) == "-" else out.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
            return
        write_lines(lines, out)
        KeptGrades(self._partial()).discard()

    def _partial(self) -> Path | None:
        out: Path | None = self.args.out
        return None if out is None or _is_stream(out) else out.with_name(out.name + ".partial")

    def _samples(self, written: Sequence[Written], coverage: Coverage) -> Iterator[list[Placed]]:
        matcher, assembly = Matcher(written), self._assembly()
        for problem in self._problems(coverage):
            mine = matcher.take(problem.task_id)
            if not mine:
                coverage.missing.append(problem.task_id)
            coverage.null += sum(sample.text is None for _, sample in mine)
            yield [Placed(index, assembled(sample, problem, assembly)) for index, sample in mine]
        coverage.unknown = matcher.unknown()

    def _references(self, coverage: Coverage) -> Iterator[list[Placed]]:
        for index, problem in enumerate(self._problems(coverage)):
            if problem.reference is None:
                coverage.missing.append(problem.task_id)
                continue
            row = Row({"task_id": problem.task_id}, self.args.problems, 0)
            yield [Placed(index, Sample(problem, problem.reference, problem.reference, row))]

    def _problems(self, coverage: Coverage) -> Iterator[Problem]:
        for problem in stream_problems(self.args.problems, coverage.left_out):
            coverage.problems += 1
            yield problem

    def _assembly(self) -> Assembly:
        prompts = None
        if self.args.prompts is not None:
            prompts = {row.task_id("task_id"): row.text("prompt") for row in read_rows(self.args.prompts)}
        stop: tuple[str, ...] = ()
        for text in self.args.stop:
            stop += STOPS.get(text) or (text.replace("\\n", "\n").replace("\\t", "\t"),)
        return Assembly(self.args.extract, stop, prompts)


def _check_output(option: str, path: Path, inputs: Sequence[Path]) -> None:
    if _is_stream(path):
        return
    if any(_same(path, given) for given in inputs):
        raise ConfigError(f"{option}: {path} is an input file and would be overwritten; choose another file")
    if path.is_dir():
        raise ConfigError(f"{option}: {path} is a directory")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise ConfigError(f"{option}: {path} cannot be written: {error.strerror or error}") from None
    if path.exists() and not os.access(path, os.W_OK):
        raise ConfigError(f"{option}: {path} cannot be written: it is read-only")


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))


def _is_stream(path: Path) -> bool:
    """Whether this is a pipe or a terminal, which cannot be replaced by a new file."""
    return str(path) == "-" or (path.exists() and not path.is_file() and not path.is_dir())
