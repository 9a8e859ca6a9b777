"""What every registered update rule promises (crestfall.testbed.updates.base)."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from crestfall.core.build import component, options, plain, summary
from crestfall.core.registry import components
from crestfall.testbed.updates.base import UpdateRule
from table_policy import ascent, make, rollouts

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "reinforce": [
        {"baseline": baseline, "reward": reward}
        for baseline in ("none", "group_mean", "running_mean")
        for reward in ("01", "pm1")
    ],
}
RULES: list[UpdateRule] = [
    component("update", {"name": name, **variant})
    for name, cls in components("update").items()
    if issubclass(cls, UpdateRule)
    for variant in [{}, *VARIANTS.get(name, [])]
]
# Rules under which a batch whose rewards are all equal teaches nothing: all that subtract a mean of that very batch.
CENTRED = [rule for rule in RULES if getattr(rule, "baseline", "") not in ("none", "running_mean")]
# Rules under which a group whose rewards are all equal teaches nothing.
GROUPWISE = [rule for rule in CENTRED if getattr(rule, "baseline", "") != "batch_mean"]
KLS = [{"name": "none"}, *({"name": "fixed", "estimator": k} for k in ("k1", "k2", "k3")), {"name": "adaptive"}]
KLS += [{"name": "paper_ewc"}]

DOCS = Path(__file__).parents[2] / "docs" / "updates.md"
TABLE = [[0.3, 0.0], [0.0, -0.4], [0.1, 0.2]]
batches = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6))


# Every rule by its defaults with every penalty, and every variant of one with both kinds of penalty at once.
COMBINED = [
    pytest.param(rule, kl, ewc, id=f"{ewc}-{kl['name']}{kl.get('estimator', '')}-{rule.name}-{i}")
    for i, rule in enumerate(RULES)
    for kl, ewc in product(KLS, ("none", "fisher"))
    if rule == type(rule)() or (kl["name"], ewc) == ("adaptive", "fisher")
]


def each(rules: list[UpdateRule]) -> Any:
    return pytest.mark.parametrize("rule", rules, ids=lambda rule: f"{rule.name}-{getattr(rule, 'baseline', '')}")


@each(RULES)
@settings(max_examples=30)
@given(first=batches, second=batches)
def test_advantages_are_finite_pure_and_their_state_survives_json(rule, first, second) -> None:
    state = rule.init()
    for passed in (first, second):
        before = dict(state)
        got, again = rule.advantages(passed, state), rule.advantages(passed, json.loads(json.dumps(dict(state))))
        assert got.values_PG.shape == got.baseline_PG.shape == passed.shape
        assert np.isfinite(got.values_PG).all()
        assert np.isfinite(got.baseline_PG).all()
        np.testing.assert_array_equal(got.values_PG, again.values_PG)
        assert dict(state) == before
        state = got.state
        assert json.loads(json.dumps(dict(state), allow_nan=False)) == dict(state)
        assert all(isinstance(value, float) for value in state.values())


@each(RULES)
@given(passed=batches)
def test_what_passed_is_never_worth_less_than_what_failed(rule, passed) -> None:
    values = rule.advantages(passed, rule.init()).values_PG
    for row, flags in zip(values, passed, strict=True):
        assert len(set(row[flags])) <= 1  # equal rewards, equal advantages: rows of equal programs are shared
        assert len(set(row[~flags])) <= 1
        if flags.any() and not flags.all():
            assert row[flags].min() > row[~flags].max()


@each(GROUPWISE)
@given(passed=batches)
def test_advantages_of_a_group_sum_to_nothing(rule, passed) -> None:
    np.testing.assert_allclose(rule.advantages(passed, {}).values_PG.sum(axis=1), 0, atol=1e-9)


@each(CENTRED)
@given(passed=batches)
def test_equal_rewards_teach_nothing(rule, passed) -> None:
    for same in (np.ones_like(passed), np.zeros_like(passed)):
        assert not rule.advantages(same, {}).values_PG.any()


@each(RULES)
def test_the_order_of_samples_and_groups_does_not_matter(rule) -> None:
    passed = np.array([[1, 0, 0, 1], [0, 0, 0, 1], [1, 1, 1, 1]], dtype=bool)
    values = rule.advantages(passed, rule.init()).values_PG
    np.testing.assert_allclose(rule.advantages(passed[::-1, ::-1], rule.init()).values_PG, values[::-1, ::-1])


@pytest.mark.parametrize(("rule", "kl", "ewc"), COMBINED)
def test_any_rule_goes_with_any_penalty_and_with_several_updates(rule, kl, ewc) -> None:
    combined = component("update", plain(rule) | {"kl": kl, "ewc": {"name": ewc}, "minibatches": 2, "epochs": 2})
    # Fisher's problems are the builtin ones, two of which are enough; they only name a random stream here.
    engine = make(combined, TABLE, length=2, train=2, select=1, report=1, problems_per_step=2)
    drawn = rollouts([[[0, 1], [1, 0], [1, 1]], [[0, 0], [0, 1], [0, 0]]])
    for _ in range(2):
        signals = engine.update(drawn)
    assert all(np.isfinite(value) for value in signals.values())
    assert ("kl_penalty" in signals) == ("kl_coefficient" in signals) == (kl["name"] != "none")
    assert ("ewc_penalty" in signals) == (ewc == "fisher")
    again = make(combined, TABLE, length=2, train=2, select=1, report=1, problems_per_step=2)
    again.restore(engine.snapshot())
    one, two = engine.update(drawn), again.update(drawn)
    assert one == two
    assert torch.equal(engine.policy.logits, again.policy.logits)


@each(CENTRED)
def test_a_batch_without_a_signal_has_no_gradient(rule) -> None:
    assert not ascent(make(rule, TABLE, length=2), rollouts([[[0, 1], [1, 1]], [[0, 1], [0, 1]]])).any()


@pytest.mark.parametrize("kind", ["update", "kl", "ewc"])
def test_everything_is_documented(kind: str) -> None:
    for name, cls in components(kind).items():
        assert summary(cls), name
        if cls.__module__.startswith("crestfall."):
            assert all(option.doc for option in options(cls)), name
            assert f"`{name}`" in DOCS.read_text(), f"docs/updates.md does not know {kind} {name}"
            assert component(kind, plain(cls())) == cls()
