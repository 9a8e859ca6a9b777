"""Capability, forgetting, and chains that go on from a collapsed policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from synthetic_runs import write_run, write_study

from research.paper.arms import Results, read_results
from research.paper.capability_tables import _first_and_last, _revisited, capability, forgetting, table02
from research.paper.table import Table


def row(table: Table, arm: str) -> dict[str, Any]:
    names = [column.name for column in table.columns]
    return next(dict(zip(names, cells, strict=True)) for cells in table.rows if cells[0] == arm)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two naive chains of two campaigns with events of all three kinds, and one that goes on from a collapsed one."""
    study = tmp_path_factory.mktemp("capability") / "s"
    write_study(study, methods=("naive",), seeds=(1, 2), campaigns=2)
    for seed in (1, 2):
        run = study / "cells" / "naive" / f"seed-{seed}"
        vectors = [{"pass_at_1": 0.1 * seed + c / 10, "pass_at_16": 0.5 - c / 10} for c in range(3)]
        events: list[dict[str, Any]] = [
            {"type": "capability", "campaign": c, "report": {"start": vectors[c], "handed_on": vectors[c + 1]}}
            for c in (0, 1)
        ]
        events += [{"type": "ood", "campaign": c, "evaluation": {"pass_at_1": 0.3 - 0.1 * c}} for c in (-1, 0, 1)]
        events += [{"type": "revisit", "campaign": 1, "of": 0, "evaluation": {"pass_at_1": 0.05}}]
        with (run / "events.jsonl").open("a") as log:
            log.writelines(json.dumps(event) + "\n" for event in events)
    onwards = write_run(study / "cells" / "onwards" / "seed-1", method="onwards", seed=1, campaigns=1)
    meta = json.loads((onwards / "run.json").read_text())
    meta["config"]["chain"]["start_from"] = "cells/naive/seed-1@last"
    (onwards / "run.json").write_text(json.dumps(meta))
    return read_results(study)


def test_vectors_are_of_the_first_start_and_the_last_weights(measured: Results) -> None:
    naive = row(capability(measured), "naive")
    assert (naive["pass@1, before"], naive["pass@1, after"]) == pytest.approx((0.15, 0.35))
    assert (naive["pass@16, before"], naive["pass@16, after"]) == pytest.approx((0.5, 0.3))
    assert naive["diversity, before"] is None
    assert (naive["unseen kinds, before"], naive["unseen kinds, after"]) == pytest.approx((0.4, 0.2))


def test_a_vector_that_was_not_measured_is_empty(measured: Results) -> None:
    event = {"campaign": 0, "report": {"start": {"pass_at_1": 0.2}, "end": {"pass_at_1": 0.3}}}
    run = replace(measured["naive"].chains[0].run, extra={"capability": (event,)})
    assert _first_and_last(run) == ({"pass_at_1": 0.2}, {})


def test_what_was_handed_on_has_its_own_score_and_not_its_step_s(measured: Results) -> None:
    """An average of weights has another one than the step that it was taken at."""
    for seed, chain in zip((1, 2), measured["naive"].chains, strict=True):
        assert [m.handed_on for m in chain.measures.campaigns] == pytest.approx([0.1 * seed + 0.1, 0.1 * seed + 0.2])
        assert [found[0] for found in _revisited(chain)] == pytest.approx([0.1 * seed + 0.1])


def test_old_sets_are_compared_with_the_final_set(measured: Results) -> None:
    naive, chains = row(forgetting(measured), "naive"), measured["naive"].chains
    assert naive["old sets"] == 2
    then = sum(c.measures.campaigns[0].handed_on or 0 for c in chains) / 2
    assert naive["change"] == pytest.approx(0.05 - then)
    finals = [f for c in chains if (f := c.run.final(0, "handed_on"))]
    assert naive["final set, final weights"] == pytest.approx(sum(f.evaluation.pass_at_1 for f in finals) / 2)
    assert naive["final set, end of chain"] == pytest.approx(measured["naive"].mean_end)


def test_what_goes_on_from_another_run_is_no_arm(measured: Results) -> None:
    assert "onwards" not in measured.arms
    onwards = row(table02(measured), "onwards")
    assert onwards["starts from"] == "cells/naive/seed-1@last"
    assert onwards["final set, before"] == measured.continued["onwards"].chains[0].base
    assert onwards["paper"].value == 0.0


def test_what_was_not_measured_is_a_dash(results: Results) -> None:
    assert row(capability(results), "es")["unseen kinds, after"] is None
    assert row(forgetting(results), "es")["change"] is None
    assert [cells[0] for cells in table02(results).rows] == ["none has run"]
