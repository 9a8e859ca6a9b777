"""Starting from another run's weights, old report sets, hard cases and the out-of-distribution slice, on the fake."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from safetensors.numpy import load_file
from test_chain import of_type, run, timeless, weights

import fakes
from crestfall.analysis.trajectory import read_run
from crestfall.control.capability import hard_third
from crestfall.core.build import plain
from crestfall.core.errors import ConfigError, RunDirectoryError
from crestfall.core.registry import register
from crestfall.core.types import Evaluation
from crestfall.store.run_directory import read_meta
from crestfall.testbed.chain import Interrupted
from crestfall.testbed.config import ChainConfig, run_config
from crestfall.testbed.cost import cost_of
from crestfall.testbed.session import train


def chain(**over: Any) -> dict[str, Any]:
    return {"campaigns": 3, "final": 10} | over


# --- start_from -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign that rose and fell: its last and its best weights differ."""
    path = tmp_path_factory.mktemp("source") / "a@b"
    run(path, update={"name": "fake", "learning_rate": 0.4}, chain=chain(campaigns=1))
    assert weights(path, "last") != weights(path, "best")
    return path


@pytest.mark.parametrize("role", ["last", "best", "handed_on"])
def test_a_chain_starts_from_another_runs_weights(source: Path, tmp_path: Path, role: str) -> None:
    untouched = {"control": {"name": "fixed", "step": 0}, "chain": chain(campaigns=1, start_from=f"{source}@{role}")}
    events = run(tmp_path / "r", **untouched)
    assert weights(tmp_path / "r", "handed_on") == weights(source, role)
    # A new chain's optimizer is new.
    assert not load_file(tmp_path / "r/checkpoints/handed_on/snapshot.safetensors")["optimizer/momentum"].any()
    facts = of_type(events, "run_started")[0]["start_from"]
    meta, theirs = read_meta(tmp_path / "r"), read_meta(source)
    assert meta is not None
    assert theirs is not None
    assert meta["start_from"] == facts
    assert (facts["run"], facts["role"], facts["status"]) == (str(source), role, "done")
    assert facts["config_digest"] == theirs["config_digest"]
    assert facts["snapshot"] == os.readlink(source / "checkpoints" / role)


def test_the_start_on_final_is_that_of_the_weights_started_from(source: Path, tmp_path: Path) -> None:
    fallen = run(tmp_path / "last", chain=chain(campaigns=1, start_from=f"{source}@last", final=50))
    risen = run(tmp_path / "best", chain=chain(campaigns=1, start_from=f"{source}@best", final=50))
    start = [of_type(events, "final")[0]["evaluation"]["pass_at_1"] for events in (fallen, risen)]
    assert start[0] < start[1] - 0.1


def test_a_study_names_one_run_a_seed(tmp_path: Path) -> None:
    for seed in (3, 4):
        run(tmp_path / f"a-{seed}", seed=seed, chain=chain(campaigns=1))
        over = {"seed": seed, "chain": chain(campaigns=1, start_from=f"{tmp_path}/a-{{seed}}@last")}
        facts = of_type(run(tmp_path / f"b-{seed}", **over), "run_started")[0]["start_from"]
        assert facts["run"] == str(tmp_path / f"a-{seed}")


def test_it_goes_on_without_the_run_that_it_started_from(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "copy", symlinks=True)
    config = run_config(fakes.options(chain=chain(campaigns=1, start_from=f"{tmp_path / 'copy'}@best")))
    whole = run(tmp_path / "whole", config)
    for _ in range(2):  # once before the first evaluation, once before the first campaign
        with pytest.raises(Interrupted):
            train(config, tmp_path / "cut", {"made": "by a test"}, should_stop=lambda: True)
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    assert timeless(run(tmp_path / "cut", config)) == timeless(whole)
    assert weights(tmp_path / "cut", "last") == weights(tmp_path / "whole", "last")


def refused(tmp_path: Path, start_from: str, **over: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        run(tmp_path / "refused", chain=chain(start_from=start_from), **over)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("text", ["runs/a@newest", "@last", "runs/a@"])
def test_a_role_that_there_is_not(text: str) -> None:
    with pytest.raises(ConfigError, match="expected RUN or RUN@ROLE"):
        ChainConfig(start_from=text)


def test_a_run_that_there_is_not(tmp_path: Path) -> None:
    assert "not a run directory" in refused(tmp_path, str(tmp_path / "nowhere@last"))
    assert not (tmp_path / "refused").exists()


def test_a_checkpoint_that_there_is_not(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "a", symlinks=True)
    (tmp_path / "a/checkpoints/handed_on").unlink()
    assert "has no checkpoint handed_on; there: last, best" in refused(tmp_path, f"{tmp_path / 'a'}")
    assert not (tmp_path / "refused").exists()
    (tmp_path / "a/run.json").write_text("{")
    assert "run.json" in refused(tmp_path, f"{tmp_path / 'a'}@last")


def test_a_checkpoint_that_is_broken(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "a", symlinks=True)
    file = tmp_path / "a/checkpoints/last/snapshot.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    assert "not a snapshot" in refused(tmp_path, f"{tmp_path / 'a'}@last")


def test_another_policys_weights(source: Path, tmp_path: Path) -> None:
    told = refused(tmp_path, f"{source}@last", policy={"name": "fake", "size": 5})
    assert "another policy (policy/weights: (4,) there, (5,) here)" in told


# --- revisit, hard cases, out of distribution -----------------------------------------------------------------------


def test_old_report_sets_are_evaluated_on_what_is_handed_on(tmp_path: Path) -> None:
    events = run(tmp_path / "r", chain=chain(campaigns=4, revisit=2))
    visits = of_type(events, "revisit")
    assert [(v["campaign"], v["of"]) for v in visits] == [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]
    handed_on = {e["campaign"]: e["handed_on_step"] for e in of_type(events, "campaign_ended")}
    assert all(v["step"] == handed_on[v["campaign"]] for v in visits)
    assert all(len(v["evaluation"]["passed"]) == 6 for v in visits)
    assert len({str(v["evaluation"]) for v in visits}) == len(visits)


def test_analysis_reads_them(tmp_path: Path) -> None:
    run(tmp_path / "r", chain=chain(campaigns=2, revisit=1, ood=3))
    extra = read_run(tmp_path / "r").extra
    assert {kind: len(events) for kind, events in extra.items()} == {"capability": 2, "ood": 3, "revisit": 1}


def test_the_problems_revisited_are_the_old_campaigns_own() -> None:
    config = run_config(fakes.options(chain=chain(revisit=1)))
    asked: list[str] = []

    class Engine:
        def evaluate(self, problems: Any, n: int, key: Any, show: int = 0) -> Any:
            from crestfall.testbed.engines.base import EvaluationResult

            asked.extend(problem.task_id for problem in problems)
            return EvaluationResult(Evaluation((0,) * len(problems), n))

    from crestfall.testbed.slices import Slices

    Slices(config, Engine()).revisits(2, 6)  # type: ignore[arg-type]
    assert asked == [problem.task_id for problem in config.sets(0).report]


def test_revisits_of_one_shared_set_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs problems: fresh"):
        ChainConfig(problems="same", revisit=1)


def test_what_is_off_leaves_no_trace(tmp_path: Path) -> None:
    events = run(tmp_path / "r")
    assert {e["type"] for e in events}.isdisjoint({"revisit", "ood"})
    assert "hard" not in of_type(events, "campaign_started")[0]
    assert "start_from" not in of_type(events, "run_started")[0]
    assert not (tmp_path / "r" / "memory.json").exists()


def test_out_of_distribution_at_the_start_and_on_what_is_handed_on(tmp_path: Path) -> None:
    events = of_type(run(tmp_path / "r", chain=chain(campaigns=2, ood=7)), "ood")
    assert [(e["campaign"], e["when"], e["step"]) for e in events] == [
        (-1, "start", 0),
        (0, "handed_on", 6),
        (1, "handed_on", 6),
    ]
    assert all(len(e["evaluation"]["passed"]) == 7 for e in events)


@register("tasks", "plain fake")
@dataclass(frozen=True)
class Plain:
    """A task source with no problems of another kind."""

    name: ClassVar[str]

    campaign, final = fakes.FakeTasks.campaign, fakes.FakeTasks.final


def test_a_task_source_without_such_problems_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tasks plain fake has no out-of-distribution problems"):
        run(tmp_path / "r", tasks={"name": "plain fake"}, chain=chain(ood=3))
    assert not (tmp_path / "r").exists()


def test_the_hard_third_is_the_base_policys_whatever_the_policy_has_become(tmp_path: Path) -> None:
    """Problems of the fake are alike: only the seed of the base policy's own samples tells them apart."""
    runs = [
        run(tmp_path / f"{rate}", chain=chain(hard_cases=8), update={"name": "fake", "learning_rate": rate})
        for rate in (0.05, 0.4)
    ]
    hard = [[e["hard"] for e in of_type(events, "campaign_started")] for events in runs]
    assert hard[0] == hard[1]
    config = run_config(fakes.options(chain=chain(hard_cases=8)))
    base = config.engine.create(config)
    for campaign, found in enumerate(hard[0]):
        problems = config.sets(campaign).select
        expected = base.evaluate(problems, 8, ("evaluate", 0, campaign, "base", "select")).evaluation
        assert found["select"] == hard_third(expected)


def test_telling_hard_cases_changes_nothing_else(tmp_path: Path) -> None:
    for name, over in (("with", {"hard_cases": 4}), ("without", {})):
        run(tmp_path / name, chain=chain(**over))
    assert weights(tmp_path / "with", "handed_on") == weights(tmp_path / "without", "handed_on")


def test_shared_problems_have_one_hard_third(tmp_path: Path) -> None:
    started = of_type(run(tmp_path / "r", chain=chain(problems="same", hard_cases=4)), "campaign_started")
    assert started[0]["hard"] == started[1]["hard"] == started[2]["hard"]


def test_the_cost_is_known_before() -> None:
    def samples(**over: Any) -> int:
        return cost_of(run_config(fakes.options(chain=chain(**over)))).eval_samples

    per_problem = 16 + 1  # greedy rides along
    assert samples(ood=5) - samples() == (1 + 3) * 5 * per_problem
    assert samples(revisit=2) - samples() == (1 + 2) * 6 * per_problem
    assert samples(hard_cases=8) - samples() == 3 * 12 * (8 + 1)


def test_runs_from_before_these_options_go_on(tmp_path: Path) -> None:
    """A run directory whose configuration does not know the options yet is of the same configuration."""
    config = run_config(fakes.options())
    old = plain(config)
    for key in ("start_from", "revisit", "hard_cases", "ood"):
        del old["chain"][key]
    run(tmp_path / "r", config)
    meta = json.loads((tmp_path / "r" / "run.json").read_text())
    (tmp_path / "r" / "run.json").write_text(json.dumps(meta | {"config": old}))
    run(tmp_path / "r", config)
    with pytest.raises(RunDirectoryError, match=r"chain\.ood: None -> 3"):
        run(tmp_path / "r", chain={"campaigns": 2, "final": 10, "ood": 3})
