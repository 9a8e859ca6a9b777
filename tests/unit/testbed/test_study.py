from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fakes
from crestfall.core.errors import RunDirectoryError
from crestfall.store.run_directory import read_study
from crestfall.testbed.config import StudyConfig, study_config
from crestfall.testbed.cost import cost_of, total
from crestfall.testbed.session import train
from crestfall.testbed.study import Cell, cells_of, prepare, run_cells


def study(**over: Any) -> StudyConfig:
    methods = {"naive": {}, "es": {"control": {"name": "early_stop"}}}
    return study_config(fakes.options(seeds=[0, 1], methods=methods) | over)


class Log:
    """A watcher that remembers; and the clock of the fake jobs below."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def started(self, cell: Cell) -> None:
        self.said.append(f"start {cell.name}")

    def ended(self, cell: Cell, code: int) -> None:
        self.said.append(f"end {cell.name} {code}")

    def tick(self) -> None: ...


class FakeJob:
    def __init__(self, code: int) -> None:
        self.code, self.polls, self.asked, self.killed = code, 0, False, False

    def poll(self) -> int | None:
        self.polls += 1
        if self.asked:
            return 130
        return self.code if self.polls > 2 else None

    def ask_to_stop(self) -> None:
        self.asked = True

    def kill(self) -> None:
        self.killed = True


class FakeExecutor:
    def __init__(self, codes: dict[str, int] | None = None) -> None:
        self.codes, self.jobs = codes or {}, dict[str, FakeJob]()

    def start(self, cell: Cell) -> FakeJob:
        running = sum(job.polls <= 2 and not job.asked for job in self.jobs.values())
        assert running < 2, "more than `workers` at a time"
        self.jobs[cell.name] = FakeJob(self.codes.get(cell.name, 0))
        return self.jobs[cell.name]


def run(executor: FakeExecutor, should_stop: Any = lambda: False) -> list[str]:
    log = Log()
    cells = cells_of(study(), Path("s"))
    run_cells(cells, executor, 2, log, should_stop, pause=lambda _: None)
    return log.said


def test_cells_run_in_order_and_a_failure_stays_alone() -> None:
    said = run(FakeExecutor({"es/seed-0": 1}))
    assert said[:2] == ["start naive/seed-0", "start es/seed-0"]
    assert "end es/seed-0 1" in said
    assert {s for s in said if s.startswith("end")} >= {"end naive/seed-1 0", "end es/seed-1 0"}


def test_asked_to_stop_it_starts_no_more_and_waits_for_those_at_work() -> None:
    runner, asks = FakeExecutor(), iter([False, True])
    with pytest.raises(KeyboardInterrupt):
        run(runner, lambda: next(asks, True))
    assert sorted(runner.jobs) == ["es/seed-0", "naive/seed-0"]
    assert all(job.asked and not job.killed for job in runner.jobs.values())


def test_torn_away_it_leaves_nothing_running() -> None:
    runner = FakeExecutor()

    def interrupt() -> bool:
        if runner.jobs:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        run(runner, interrupt)
    assert all(job.killed for job in runner.jobs.values())


def test_the_study_file_lists_the_cells_and_grows(tmp_path: Path) -> None:
    prepare(study(), tmp_path)
    prepare(study(seeds=[0, 1, 2]), tmp_path)
    written = read_study(tmp_path)
    assert written is not None
    assert len(written["cells"]) == 6
    assert written["cells"][0] == {"method": "naive", "seed": 0, "path": "cells/naive/seed-0"}
    assert written["config"]["seeds"] == [0, 1, 2]


def test_a_cell_of_another_configuration_is_refused_before_anything_starts(tmp_path: Path) -> None:
    cell = prepare(study(), tmp_path)[1]
    train(cell.config, cell.path, {})
    assert cell.done()
    before = (tmp_path / "study.json").read_bytes()
    with pytest.raises(
        RunDirectoryError, match=r"es/seed-0: holds a run of another configuration \(chain\.final: 10 -> 11"
    ):
        prepare(study(chain={"campaigns": 2, "final": 11}), tmp_path)
    assert (tmp_path / "study.json").read_bytes() == before


def test_cost_is_what_a_run_does_without_control() -> None:
    naive, es = study().cells()[:2]
    cost = cost_of(naive)
    assert (cost.steps, cost.train_samples) == (12, 12 * 4 * 4)
    held_out, final = 2 * 7 * 12, 5 * 10
    assert cost.eval_samples == (held_out + final) * 17  # 16 samples and the greedy one
    assert cost.grades == cost.train_samples + cost.eval_samples
    assert cost_of(es) == cost  # at most
    assert total([naive, es]).steps == 24
    assert total([naive, es]).cells == 2
