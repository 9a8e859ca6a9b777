"""What every registered chain controller promises (crestfall.control.care.base)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crestfall.control.care.base import ChainController
from crestfall.core.build import component, plain
from crestfall.core.registry import components
from crestfall.core.types import CampaignSummary

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "care_v1": [{"gate": {"threshold": 1.0}}],
    "care_v2": [
        {"gate": {"form": "four_way"}},
        {"gate": {"first": "pilot"}},
        {"gate": {"form": "four_way"}, "response": {"adapt_by": "learning_rate"}},
    ],
    "gate_only": [{"gate": {"form": "four_way"}}],
    "memory_only": [{"memory": {"reject_loss": 0.0, "min_confidence": 0.0}}],
}
CONTROLLERS = [
    component("care", {"name": name, **options})
    for name in components("care")
    for options in [{}, *VARIANTS.get(name, [])]
]
each = pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda c: json.dumps(plain(c)))

share = st.integers(0, 480).map(lambda k: k / 480)
vectors = st.dictionaries(st.sampled_from(["pass_at_1", "pass_at_16", "diversity", "hard_case_accuracy"]), share)


@st.composite
def campaigns(draw: st.DrawFn) -> CampaignSummary:
    start, end, more = draw(share), draw(share), draw(share)
    steps = draw(st.integers(0, 20))
    return CampaignSummary(
        0, steps, start, max(start, end, more), min(3, steps), end, steps, draw(vectors), draw(vectors)
    )


histories = st.lists(campaigns(), max_size=6)


def numbered(history: list[CampaignSummary]) -> list[CampaignSummary]:
    return [CampaignSummary(i, *[getattr(c, f) for f in list(c.__slots__)[1:]]) for i, c in enumerate(history)]


@each
@settings(max_examples=25, deadline=None)
@given(history=histories, budget=st.integers(0, 40))
def test_plans_are_pure_json_and_within_the_budget(
    controller: ChainController, history: list[CampaignSummary], budget: int
) -> None:
    state, history = controller.init(), numbered(history)
    for done in range(len(history) + 1):
        assert json.loads(json.dumps(state, allow_nan=False)) == state
        before = copy.deepcopy(dict(state))
        first = controller.plan(state, budget, history[:done])
        assert first == controller.plan(json.loads(json.dumps(state)), budget, tuple(history[:done]))
        assert state == before
        state, plan = first
        assert 0 <= plan.budget <= budget
        assert 0 < plan.learning_rate_scale <= 1
        json.dumps(plan.to_json(), allow_nan=False)
        json.dumps(controller.remember(state, history[:done]), allow_nan=False)


@each
def test_it_works_before_the_first_campaign(controller: ChainController) -> None:
    state, plan = controller.plan(controller.init(), 20, [])
    assert plan.budget > 0
    assert controller.plan(controller.init(), 20, ()) == (state, plan)
