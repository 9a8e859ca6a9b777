"""Base of benchmarks as task sources: reading rows, pools by content, the draws of campaigns.

A source adds which rows it takes (`read`) and how it poses their problems (`pose`). A policy reads `prompt` and nothing
else; the program that is graded is `stub` + what it wrote. See docs/tasks.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from crestfall.core.errors import ConfigError, InputError
from crestfall.core.extras import require
from crestfall.core.types import Problem
from crestfall.grading.problems.base import NoTests
from crestfall.store.rows import Row, read_rows
from crestfall.testbed.hub import use_cache_where_unreachable
from crestfall.testbed.tasks.base import CampaignSets, Sizes
from crestfall.testbed.tasks.shelf import Shelf
from crestfall.testbed.tasks.split import Pool, Pools, Shares, distinct


@dataclass(frozen=True)
class Benchmark(ABC):
    """Problems of a file or of a dataset, in pools by content. Every option of it is one of each benchmark."""

    name: ClassVar[str]
    excluded: ClassVar[tuple[str, ...]] = ()
    """Ids of problems that are in no pool, nor is any equal one."""
    poses_from_rows: ClassVar[bool] = False
    """Whether `pose` reads rows. If not, rows are not kept in memory: LiveCodeBench's are gigabytes."""

    path: Path | None = None
    """A JSONL file, plain or gzipped. This or `dataset`."""
    dataset: str | None = None
    """A dataset on the Hugging Face hub (`org/name`) or a directory that `datasets.load_dataset` reads."""
    subset: str | None = None
    """The dataset's configuration (`sanitized` of MBPP), where it has several."""
    split: str | None = None
    """The dataset's split, such as `test`. None: all splits together; the pools are drawn from them anyway."""
    revision: str | None = None
    """Branch, tag or commit of the dataset. Give a commit to make a run repeatable."""
    pools: Shares = field(default_factory=Shares)
    """Shares of the problems that go to the train, select, report and final pools. Other shares give other pools."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.dataset is None):
            raise ConfigError(f"tasks: {self.name} needs either 'path' (a file) or 'dataset' (a name)")
        if self.path is not None and (self.subset or self.split or self.revision):
            raise ConfigError("tasks: 'subset', 'split' and 'revision' are a dataset's; a 'path' has none")

    # --- what a benchmark says of its own ---

    @abstractmethod
    def read(self, row: Row) -> Problem | None:
        """The problem of a row as it stands there; None for one that this source leaves out. Raises InputError."""

    def pose(self, problem: Problem, rows: Mapping[str, Row]) -> Problem:
        """The problem with the prompt that a policy reads; `rows` are all of the source's, by task_id, if it
        `poses_from_rows`."""
        return problem

    # --- a task source ---

    def campaign(self, seed: int, campaign: int, sizes: Sizes) -> CampaignSets:
        """The sets of a campaign, cut from one sequence per pool and seed: disjoint from each other and from those of
        the seed's other campaigns. Raises ConfigError where a pool is used up, InputError for a broken file."""

        def draw(pool: Pool, size: int) -> Sequence[Problem]:
            return _pools(self).draw(pool, campaign * size, (campaign + 1) * size, seed)

        return CampaignSets(draw("train", sizes.train), draw("select", sizes.select), draw("report", sizes.report))

    def final(self, size: int) -> Sequence[Problem]:
        return _pools(self).draw("final", 0, size)

    def check(self, campaigns: int, sizes: Sizes, final: int) -> None:
        self.campaign(0, campaigns - 1, sizes)
        self.final(final)

    # --- where rows come from ---

    @property
    def where(self) -> str:
        return str(self.path or self.dataset)

    def rows(self) -> Iterator[Row]:
        """Raises InputError; MissingExtraError where a dataset is asked for and the library is not installed."""
        return read_rows(self.path) if self.path is not None else self._dataset_rows()

    def _dataset_rows(self) -> Iterator[Row]:
        require("datasets")
        use_cache_where_unreachable()
        import datasets

        try:
            loaded = datasets.load_dataset(self.dataset, self.subset, split=self.split, revision=self.revision)
        except Exception as error:  # the hub's and the readers' errors have no common root
            reason = " ".join(str(error).split())[:300]
            way_out = "without a network: tasks.dataset=null tasks.subset=null tasks.split=null tasks.path=FILE"
            raise InputError(f"tasks.dataset: cannot load {self.dataset!r}: {reason}; {way_out}") from None
        splits: dict[str, Any] = {self.split: loaded} if self.split else dict(loaded)
        for name, split in splits.items():
            for number, data in enumerate(split, 1):
                yield Row(data, Path(f"{self.dataset}[{name}]"), number)


@lru_cache(maxsize=4)
def _pools(source: Benchmark) -> Pools:
    """Read once per process: the campaigns of a chain draw from the same problems. One problem's tests are held at a
    time; large ones lie on the disk."""
    rows: dict[str, Row] = {}
    known = distinct(_problems(source, rows), source.excluded, Shelf().put)
    return Pools.of([source.pose(problem, rows) for problem in known], source.pools, source.where)


def _problems(source: Benchmark, rows: dict[str, Row]) -> Iterator[Problem]:
    """The problems as they stand in the file; `rows` gets theirs, if the source poses from rows."""
    seen: set[str] = set()
    why = ""
    for row in source.rows():
        try:
            problem = source.read(row)
        except NoTests as error:  # data sets hold some rows that nothing could grade
            why = why or f": {error}"
            continue
        if problem is None:
            continue
        if problem.task_id in seen:
            way_out = ": name one tasks.split" if source.dataset and not source.split else ""
            raise InputError(f"{row.where}: the task_id {problem.task_id!r} was met before{way_out}")
        seen.add(problem.task_id)
        if source.poses_from_rows:
            rows[problem.task_id] = row
        yield problem
    if not seen:
        raise InputError(f"{source.where}: it holds no problems{why}")
