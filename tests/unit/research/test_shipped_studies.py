"""The study files that ship: what they promise of arms, seeds and order is so."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from crestfall.testbed.config import RunConfig, StudyConfig
from crestfall.testbed.config import load_study as load
from research.paper.arms import BASE, FREE

CLAIMS = ("naive", "es", "care_v2", "grpo", "grpo+es", "crest")
TRAINED_FREE = sorted(set(FREE) - {BASE, "random_reward"})
"""One of them is what every controller is compared with."""


STUDIES = Path(__file__).parents[3] / "research" / "studies"


@cache
def load_study(name: str) -> StudyConfig:
    return load(str(STUDIES / f"{name}.yaml"))


@pytest.fixture(scope="module")
def study() -> StudyConfig:
    return load_study("study")


def test_the_claims_have_eight_seeds_and_run_first(study: StudyConfig) -> None:
    first = {*CLAIMS, *TRAINED_FREE}
    assert all(len(study.seeds_of(m)) >= 8 for m in first)
    assert all(len(study.seeds_of(m)) >= 4 for m in study.methods)
    cells = sum(len(study.seeds_of(m)) for m in first)
    assert {cell.method for cell in study.cells()[:cells]} == first


def test_seeds_are_fresh_and_shared(study: StudyConfig) -> None:
    """Paired comparisons need the same seeds; tuning seeds and those of other batches are spent."""
    tuning = ("regime_search", "stable_search", "regime_map")
    spent = {s for name in tuning for s in load_study(name).seeds} | set(load("quickstart").seeds)
    assert not spent & set(study.seeds_of("naive"))
    ten = set(study.seeds_of("naive"))
    assert all(set(study.seeds_of(m)) <= ten for m in study.methods)


def test_every_free_arm_is_there(study: StudyConfig) -> None:
    assert set(FREE) - {BASE} <= set(study.methods)


def test_arms_differ_from_naive_in_what_they_are_named_for(study: StudyConfig) -> None:
    naive = study.cell("naive", 3000)

    def but(name: str, **same: object) -> RunConfig:
        return replace(study.cell(name, 3000), method="naive", **same)  # type: ignore[arg-type]

    for name in ("es", "es_budget", "es_go_on", "fixed", "crest", "significant_fall"):
        assert but(name, control=naive.control) == naive
    for name in ("care_v1", "care_v2", "memory_only", "gate_only"):
        assert but(name, care=naive.care) == naive
    grpo = study.cell("grpo", 3000)
    assert replace(study.cell("grpo+es", 3000), method="grpo", control=grpo.control) == grpo
    assert grpo.update.learning_rate == naive.update.learning_rate
    assert grpo.update.warmup_updates == naive.update.warmup_updates
    assert study.cell("quarter_lr", 3000).update.learning_rate == naive.update.learning_rate / 4


def test_no_two_arms_are_the_same(study: StudyConfig) -> None:
    cells = [replace(study.cell(m, 3000), method="") for m in study.methods]
    assert all(a != b for i, a in enumerate(cells) for b in cells[:i])


def test_the_stable_study_has_the_main_arms() -> None:
    stable = load_study("study_stable")
    assert set(stable.methods) >= set(CLAIMS)
    assert all(len(stable.seeds_of(m)) >= 8 for m in CLAIMS)


def test_the_batch_is_the_beginning_of_the_study(study: StudyConfig) -> None:
    """One directory serves both: what the batch has run, the study finds done."""
    batch = load_study("batch").cells()
    assert batch == study.cells()[: len(batch)]


@pytest.mark.parametrize("name", ["llm", "demo_llm"])
def test_the_studies_of_the_language_model_draw_what_is_there(name: str) -> None:
    for cell in load_study(name).cells():
        cell.check_problems()


def test_meter_and_es_of_the_language_model_differ_from_naive_in_what_they_are_named_for() -> None:
    demo = load_study("demo_llm")
    naive, meter, es = (demo.cell(name, 0) for name in ("naive", "meter", "es"))
    assert replace(es, method="naive", control=naive.control) == naive
    assert replace(meter, method="naive", update=naive.update) == naive
    assert replace(meter.update, pace=naive.update.pace) == naive.update
