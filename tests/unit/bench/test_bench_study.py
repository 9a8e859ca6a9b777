"""The bench of a study's cells: rows as every bench has them, and a cell that fails is no time."""

from __future__ import annotations

import pytest

import fakes
from crestfall.bench import study as bench
from crestfall.core.errors import CrestfallError
from crestfall.testbed.config import study_config


@pytest.fixture(autouse=True)
def _one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROUNDS", 1)


def test_rows_are_those_of_every_bench() -> None:
    result = bench.run(study_config(fakes.options(seeds=[0, 1], methods={"a": {}})))
    ours, peer = result["study"]
    assert set(ours) == {"peer", "seconds", "per_second", "ratio"}
    assert ours["ratio"] == 1.0
    assert peer["ratio"] == pytest.approx(peer["seconds"] / ours["seconds"], rel=0.05)
    assert result["share"] == pytest.approx(ours["seconds"] / peer["seconds"], rel=0.05)


def test_a_cell_that_fails_is_named() -> None:
    config = study_config(fakes.options(seeds=[0], methods={"a": {}}, engine={"name": "fake", "kill_at": 1}))
    with pytest.raises(CrestfallError, match=r"bench study: cell a/seed-0 ended with exit code"):
        bench.run(config)


def test_its_own_cells_are_of_equal_work() -> None:
    cells = bench.study().cells()
    assert len(cells) % bench.WORKERS == 0
    assert {cell.control.name for cell in cells} == {"none"}
