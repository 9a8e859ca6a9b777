from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crestfall.core.errors import ConfigError
from crestfall.testbed.config import load_study, study_config


def study(**over: Any):
    options = {
        "seeds": [0, 1],
        "update": {"name": "reinforce", "learning_rate": 1e-3},
        "regimes": {
            "slow": {"update": {"learning_rate": 1e-4, "baseline": "none"}},
            "hot": {"update": {"learning_rate": 1e-2}, "campaign": {"steps": 7}},
        },
        "methods": {"naive": {}, "es": {"control": {"name": "early_stop"}}},
    }
    return study_config(options | over)


def test_every_method_is_run_in_every_regime() -> None:
    cells = {(c.method, c.seed): c for c in study().cells()}
    assert len(cells) == 8
    es = cells["hot.es", 1]
    assert (es.update.learning_rate, es.campaign.steps, es.control.name) == (1e-2, 7, "early_stop")
    assert cells["slow.naive", 0].update.baseline == "none"


def test_a_method_stands_above_its_regime() -> None:
    methods = {"mine": {"update": {"learning_rate": 5.0}, "campaign": {"steps": 3}}}
    cell = study(methods=methods).cell("hot.mine", 0)
    assert (cell.update.learning_rate, cell.campaign.steps) == (5.0, 3)


def test_another_rule_keeps_the_rate_of_the_regime_and_not_what_the_old_rule_had() -> None:
    cell = study(methods={"grpo": {"update": {"name": "grpo"}}}).cell("slow.grpo", 0)
    assert (cell.update.name, cell.update.learning_rate) == ("grpo", 1e-4)


def test_a_method_may_name_its_regimes_and_seeds() -> None:
    methods = {"naive": {}, "few": {"regimes": ["hot"], "seeds": [9]}}
    assert [(c.method, c.seed) for c in study(methods=methods).cells() if "few" in c.method] == [("hot.few", 9)]


def test_a_method_in_a_file_of_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("control: {name: fixed, step: 2}\n")
    assert study(methods={"mine": str(mine)}).cell("slow.mine", 0).control.step == 2
    file = tmp_path / "study.yaml"
    file.write_text("seeds: [1]\nmethods: {naive: {}}\nregimes: {a: {}}\n")
    added = load_study(str(file), [f"methods.mine={mine}"])
    assert [cell.method for cell in added.cells()] == ["a.naive", "a.mine"]


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"regimes": ["slow"]}, "regimes: expected names"),
        ({"regimes": {"slow": 3}}, "regimes: expected names"),
        ({"methods": {"m": {"regimes": ["slwo"]}}}, "no regime 'slwo'"),
        ({"methods": {"m": {"regimes": "slow"}}}, "methods.m.regimes: expected a list"),
        ({"methods": {"m": 3}}, "methods.m: expected options or the path"),
        ({"methods": {"m": "nowhere.yaml"}}, "nowhere.yaml: cannot be read"),
        ({"regimes": {"slow": {"update": {"learning_rates": 1}}}}, "learning_rates: no such option"),
        ({"regimes": {"s/w": {}}}, "a method's name is letters"),
    ],
)
def test_what_is_wrong_is_named(over: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        study(**over)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_regimes_of_a_method_where_the_study_has_none() -> None:
    with pytest.raises(ConfigError, match="the study has no regimes"):
        study_config({"seeds": [0], "methods": {"m": {"regimes": ["slow"]}}})
