from __future__ import annotations

import json

import pytest

from crestfall.control.capability import MEMBERS, capability, difference, hard_third
from crestfall.core.types import Evaluation


def test_the_members_by_hand() -> None:
    found = capability(Evaluation((0, 4, 16, 8), 16, distinct_P=(0, 2, 1, 4)), hard=[0, 1])
    assert found == {
        "pass_at_1": 28 / 64,
        "pass_at_16": 3 / 4,  # with n = k: the share of problems with any passing sample
        "diversity": 7 / 28,
        "hard_case_accuracy": 4 / 32,
    }
    assert tuple(found) == MEMBERS


def test_pass_at_16_is_the_unbiased_estimate() -> None:
    # 1 - C(31, 16) / C(32, 16): one of 32 passed
    assert capability(Evaluation((1,), 32))["pass_at_16"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("evaluation", "absent"),
    [
        (Evaluation((1, 2), 8, distinct_P=(1, 1)), {"pass_at_16", "hard_case_accuracy"}),
        (Evaluation((0, 0), 16, distinct_P=(0, 0)), {"diversity", "hard_case_accuracy"}),
        (Evaluation((3, 0), 16), {"diversity", "hard_case_accuracy"}),
    ],
)
def test_what_cannot_be_told_is_absent(evaluation: Evaluation, absent: set[str]) -> None:
    assert set(MEMBERS) - set(capability(evaluation)) == absent


def test_hard_third_is_rounded_up_and_breaks_ties_by_place() -> None:
    assert hard_third(Evaluation((5, 0, 0, 0, 9, 2, 7), 16)) == [1, 2, 3]
    assert hard_third(Evaluation((3,), 16)) == [0]


def test_difference_is_of_what_both_have() -> None:
    assert difference({"pass_at_1": 0.2, "diversity": 0.5}, {"pass_at_1": 0.5}) == {"pass_at_1": 0.3}


def test_evaluations_with_and_without_distinct_programs_survive_json() -> None:
    for evaluation in (Evaluation((3, 4), 16, distinct_P=(1, 2)), Evaluation((3, 4), 16)):
        assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation
    assert "distinct_passing" not in Evaluation((3, 4), 16).to_json()
