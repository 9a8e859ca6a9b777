from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml

import fakes
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import ConfigError
from crestfall.testbed.config import digest_of, load_run, load_study, resolved, run_config, study_config


def write(path: Path, options: dict[str, Any]) -> str:
    path.write_text(pyyaml.safe_dump(options))
    return str(path)


def test_overrides_reach_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", fakes.options())
    config = load_run(path, ["update.learning_rate=8e-4", "control.name=early_stop", "control.margin=2", "seed=7"])
    assert config.update.learning_rate == 0.0008
    assert config.control == EarlyStop(margin=2)
    assert config.seed == 7


def test_a_resolved_configuration_makes_the_same_run() -> None:
    config = run_config(fakes.options(control={"name": "fixed"}))
    assert run_config(resolved(config)) == config
    assert digest_of(run_config(resolved(config))) == digest_of(config)
    assert resolved(config)["campaign"]["temperature"] == 0.7


def test_errors_name_the_file_and_the_key(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", fakes.options())
    with pytest.raises(ConfigError, match=r"r\.yaml: campaign\.stesp: no such option; did you mean 'steps'\?"):
        load_run(path, ["campaign.stesp=3"])
    with pytest.raises(ConfigError, match=r"problems_per_step \(9\) cannot exceed train \(8\)"):
        load_run(path, ["campaign.problems_per_step=9"])
    with pytest.raises(ConfigError, match="cannot import 'no_such_module'"):
        load_run(path, ["plugins=[no_such_module]"])
    with pytest.raises(ConfigError, match="plugins: expected a list"):
        load_run(path, ["plugins=fakes"])


def test_a_missing_file_lists_what_ships() -> None:
    with pytest.raises(ConfigError, match=r"quickstrat: no such file; did you mean 'quickstart'\?"):
        load_study("quickstrat")


def test_run_and_study_are_told_apart(tmp_path: Path) -> None:
    run = write(tmp_path / "r.yaml", fakes.options())
    study = write(tmp_path / "s.yaml", fakes.options(seeds=[0], methods={"a": {}}))
    with pytest.raises(ConfigError, match="use crestfall study"):
        load_run(study)
    with pytest.raises(ConfigError, match="use crestfall run"):
        load_study(run)


def test_cells_differ_from_the_base_by_their_method_and_seed() -> None:
    options = fakes.options(
        control={"name": "early_stop", "margin": 5},
        seeds=[3, 4],
        methods={"naive": {"control": {"name": "none"}}, "es": {"campaign": {"steps": 2}}},
    )
    cells = study_config(options).cells()
    assert [(c.method, c.seed) for c in cells] == [("naive", 3), ("es", 3), ("naive", 4), ("es", 4)]
    assert [c.control.name for c in cells[:2]] == ["none", "early_stop"]
    assert [c.campaign.steps for c in cells[:2]] == [6, 2]
    assert cells[1].campaign.train == 8  # the rest of the section stays


def test_an_arm_with_another_update_rule_keeps_what_all_rules_share() -> None:
    shared = {"learning_rate": 2e-3, "warmup_updates": 20, "kl": {"name": "fixed", "coefficient": 0.01}}
    methods: dict[str, Any] = {
        "grpo": {"update": {"name": "grpo"}},
        "slow": {"update": {"name": "grpo", "learning_rate": 1e-4, "kl": {"name": "none"}}},
        "weak": {"update": {"name": "dapo", "kl": {"coefficient": 0.001}}},
    }
    base = {"name": "reinforce", "baseline": "none", "normalization": "token_mean", **shared}
    grpo, slow, weak = (c.update for c in study_config({"seeds": [0], "methods": methods, "update": base}).cells())
    assert (grpo.name, grpo.learning_rate, grpo.warmup_updates, grpo.kl.coefficient) == ("grpo", 2e-3, 20, 0.01)
    assert grpo.normalization == "sequence_mean"  # a rule's own default is part of what it is
    assert (slow.learning_rate, slow.warmup_updates, slow.kl.name) == (1e-4, 20, "none")
    assert (weak.kl.name, weak.kl.coefficient, weak.clip_high) == ("fixed", 0.001, 0.28)


def test_another_update_rule_by_an_override_keeps_the_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", {"update": {"name": "reinforce", "baseline": "none", "learning_rate": 2e-3}})
    assert load_run(path, ["update.name=rloo"]).update.learning_rate == 2e-3
    with pytest.raises(ConfigError, match=r"r\.yaml: update\.name: no update is called 'rlo'; did you mean 'rloo'"):
        load_run(path, ["update.name=rlo"])


def test_methods_may_have_seeds_of_their_own_and_run_with_those_that_share_them() -> None:
    methods = {
        "naive": {},
        "ewc": {"seeds": [1]},
        "es": {"seeds": [1, 2]},
        "kl": {"seeds": [1], "campaign": {"steps": 2}},
    }
    cells = study_config(fakes.options(seeds=[1, 2], methods=methods)).cells()
    order = ["naive 1", "es 1", "naive 2", "es 2", "ewc 1", "kl 1"]
    assert [f"{c.method} {c.seed}" for c in cells] == order
    assert cells[-1].campaign.steps == 2


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"methods": {"a": {"seeds": []}}}, r"methods\.a\.seeds: expected a list of at least one whole number"),
        ({"methods": {"a": {"seeds": 3}}}, r"methods\.a\.seeds: expected a list .* found 3"),
        ({"methods": {"a": {"seeds": [1, 1]}}}, r"methods\.a\.seeds: each may be given once"),
        ({"seeds": []}, "seeds: at least one"),
        ({"seeds": [1, 1]}, "seeds: each may be given once"),
        ({"methods": {}}, "methods: at least one"),
        ({"methods": {"../up": {}}}, "methods.../up: a method's name"),
        ({"methods": {"a": {"sed": 1}}}, "method 'a': sed: no such option"),
        ({"seed": 3}, "seed: a study has 'seeds'"),
        ({"workers": -1}, "workers: should be greater"),
    ],
)
def test_a_study_that_cannot_be_run(over: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study_config(fakes.options(seeds=[0], methods={"a": {}}) | over)
