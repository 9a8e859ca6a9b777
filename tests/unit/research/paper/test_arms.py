"""What counts as an arm, and how much of a study there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import write_study

from crestfall.core.errors import InputError
from research.paper.arms import BASE, Results, read_results


def test_only_finished_chains_count_and_what_is_missing_is_said(results: Results) -> None:
    assert list(results.arms) == ["naive", "care_v2", "es", "grpo+es", "fixed", "ewc", BASE]
    assert results["ewc"].n == 2
    assert results.missing == ("ewc/seed-3", "ewc/seed-4", "kl_adaptive/seed-1")
    assert results.standing == "Partial: 42 of 45 cells are finished; the others are left out."


def test_the_base_policy_has_every_seed_once(results: Results) -> None:
    base = results[BASE]
    assert list(base.ends) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert base.ends[1] == results["naive"].chains[0].base
    assert base.chains == ()


def test_ends_are_those_handed_on_by_the_last_campaign(results: Results) -> None:
    chain = results["es"].chains[2]
    final = chain.run.final(1, "handed_on")
    assert final is not None
    assert results["es"].ends[3] == chain.end == final.evaluation.pass_at_1


def test_too_few_seeds_have_no_interval(results: Results) -> None:
    assert results["ewc"].interval is None
    interval = results["es"].interval
    assert interval is not None
    assert interval.low < results["es"].mean_end < interval.high


def test_pooled_means_are_over_campaigns(results: Results) -> None:
    naive = results["naive"]
    gap, onset = naive.pooled("gap"), naive.pooled("onset")
    assert gap is not None
    assert onset is not None
    assert results["ewc"].pooled("gap") is None  # of two chains
    assert gap.estimate == pytest.approx(np.mean([m.gap for m in naive.campaigns]))
    clear = [m.onset for m in naive.campaigns if m.fall_is_clear and m.onset is not None]
    assert onset.estimate == pytest.approx(np.mean(clear))


def test_a_study_without_a_finished_chain_is_one_clear_line(tmp_path: Path) -> None:
    write_study(tmp_path / "s", seeds=(1,), status="running")
    with pytest.raises(InputError, match="no finished chain yet"):
        read_results(tmp_path / "s")


def test_arms_without_enough_seeds_do_not_weaken_the_claims_of_others(results: Results) -> None:
    found = results.compared("naive", ["es", "ewc", "fixed"])
    assert list(found) == ["es", "ewc", "fixed"]
    assert found["es"].holm_p_value == pytest.approx(2 * found["es"].sign_flip_p_value)
    assert not found["ewc"].significance_possible
    assert results.compared("never run", ["es"]) == {}
