"""The testbed of skill: what supervised training never had, the arms beside REINFORCE, the judgement."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from synthetic_runs import write_study

from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.trajectory import read_study
from crestfall.core.errors import InputError
from crestfall.core.registry import components
from crestfall.core.types import Evaluation
from crestfall.testbed.config import RunConfig, load_run, load_study, run_config
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from crestfall.testbed.tasks.builtin import pool_of
from crestfall.testbed.tasks.builtin.probes import key_of
from research import skill
from research.figures.skill import draw
from research.figures.style import LIGHT
from research.warmstart.corpus import RECIPES, Corpus, vocabulary

STUDIES = Path(__file__).parents[3] / "research" / "studies"


@pytest.fixture(autouse=True)
def plugin() -> None:
    """Where another test has undone what the module registers, it is imported again."""
    if "supervised" not in components("engine"):
        sys.modules.pop("research.supervised", None)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(replace(RECIPES["skill"], problems=60), vocabulary())


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load_run("skill")


def test_supervised_training_had_no_composition_that_is_trained_on_or_scored(corpus: Corpus, config: RunConfig) -> None:
    sets = replace(config, campaign=replace(config.campaign, train=12, select=4, report=4, problems_per_step=4)).sets(0)
    scored = [*sets.train, *sets.select, *sets.report, *config.tasks.final(4)]
    assert not {pool_of(problem.key) for problem in scored} & {"warm"}
    assert {pool_of(key) for c in corpus.compositions if (key := key_of(c))} == {"warm"}
    assert len({problem.key for problem in scored}) == len(scored)


def test_supervised_training_knows_one_way_to_answer(corpus: Corpus) -> None:
    programs = [corpus.tokenizer.decode(code) for step in range(2) for _, code in corpus.batch(step)]
    assert all(program.splitlines()[-1].strip().startswith("return ") for program in programs)
    assert not any("print" in program for program in programs)


def test_it_goes_on_from_the_weights_of_the_demo_on_the_same_problems() -> None:
    conventions, only_return = RECIPES["conventions"], RECIPES["skill"]
    assert only_return.start == "conventions"
    assert all(getattr(conventions, name) == getattr(only_return, name) for name in ("seed", "levels", "wrong"))
    assert only_return.problems <= conventions.problems  # the first ones of the same sequence: nothing new was seen


def test_the_arms_differ_from_the_one_that_holds_in_what_they_are_named_for() -> None:
    study = load_study(str(STUDIES / "skill.yaml"))
    steady = study.cell("steady", 6100)
    assert study.seeds == tuple(range(6100, 6110))

    def but(name: str, **same: object) -> RunConfig:
        return replace(study.cell(name, 6100), method="steady", **same)  # type: ignore[arg-type]

    assert but("random", update=replace(steady.update)) == steady
    assert replace(study.cell("random", 6100).update, rewarded="passed") == steady.update
    assert replace(study.cell("rejection", 6100).update, baseline=steady.update.baseline) == steady.update
    naive = study.cell("naive", 6100)
    rate = {"learning_rate": steady.update.learning_rate, "warmup_updates": steady.update.warmup_updates}
    assert replace(naive.update, **rate) == steady.update
    faster = study.cell("faster", 6200)
    assert replace(faster, method="naive", seed=6100, update=naive.update) == naive
    assert replace(study.cell("es", 6200), method="faster", control=faster.control) == faster
    metered = study.cell("metered", 6200)
    assert replace(metered, method="faster", update=replace(metered.update, pace=faster.update.pace)) == faster
    supervised = load_run(str(STUDIES.parent / "supervised.yaml"), ["seed=6100"])
    assert supervised.engine.name == "supervised"
    same = {"method": "steady", "engine": steady.engine, "plugins": ()}
    assert replace(supervised, **same) == steady  # type: ignore[arg-type]


def test_the_shipped_run_is_the_study_s_early_stop(config: RunConfig) -> None:
    es = load_study(str(STUDIES / "skill.yaml")).cell("es", 0)
    assert config == es


def test_continued_supervised_training_moves_the_weights_and_samples_nothing(tmp_path: Path, corpus: Corpus) -> None:
    from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer

    model = TinyTransformer(Shape(len(corpus.tokenizer), width=32, layers=1, heads=2))
    model.initialise(torch.Generator().manual_seed(0))
    weights = tmp_path / "small.safetensors"
    LoadedTiny(model, corpus.tokenizer).write(weights, {})
    config = run_config(
        {
            "policy": {"name": "tiny", "weights": str(weights)},
            "plugins": ["research.supervised"],
            "engine": {"name": "supervised", "problems": 60},
            "update": {"name": "reinforce", "learning_rate": 1e-2},
            "tasks": {"name": "builtin", "levels": [2]},
            "campaign": {"problems_per_step": 8, "train": 8},
            "grader": {"workers": 1},
        }
    )
    engine = config.engine.create(config)
    losses = []
    for step in (1, 2, 3):
        rollouts = engine.rollout(config.sets(0).train, 0, step)
        assert rollouts.grades_PG == []
        losses.append(engine.update(rollouts)["loss"])
    assert losses[2] < losses[0] - 0.3
    assert engine.optimizer.updates == 3 * (8 * config.campaign.group_size // corpus.recipe.batch)
    engine.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("skill")
    write_study(path, seeds=(1, 2))
    return read_study(path)


def test_a_peak_is_chosen_on_select_and_pass_at_16_is_that_of_the_same_step(study) -> None:
    run = study.by_method()["naive"][0]
    chain = skill.chains_of(skill.rows_of(study.path))["naive"][run.seed]
    got, measures = skill.judge(chain), measure_campaign(run.campaigns[0])
    assert (got.start, got.peak, got.end) == pytest.approx((measures.start, measures.peak, measures.end), abs=1e-4)
    assert got.falls == (measures.gap > 0.2)
    at_peak = run.campaigns[0].report[measures.peak_step]
    assert got.many_peak == pytest.approx(sum(p > 0 for p in at_peak.passed_P) / len(at_peak.passed_P), abs=1e-4)


def test_the_interval_of_a_rise_may_lie_below_zero() -> None:
    falling = [skill.Judged(seed, 0.4, 0.3 + seed / 100, 1, 0.1, 0.9, 0.9, 0.9) for seed in range(4)]
    assert "(95%: -1" in skill.verdict("random", falling)


def test_pass_at_16_of_more_samples_is_the_unbiased_estimate() -> None:
    assert skill.pass_at_many(Evaluation((0, 1, 32), 32)) == pytest.approx((0 + 0.5 + 1) / 3)


def test_the_tables_say_learns_falls_and_pairs(study, tmp_path, capsys) -> None:
    assert skill.main([str(study.path), "--out", str(tmp_path / "judged")]) == 0
    text = capsys.readouterr().out
    assert "- naive: pass@1 rises by" in text
    assert "| naive, seed |" in text
    assert (tmp_path / "judged.md").read_text().strip() == text.strip()
    rows = list(csv.DictReader((tmp_path / "judged.csv").open(newline="")))
    assert {row["method"] for row in rows} == {"naive", "es"}
    assert "paired with es" in "\n".join(skill.report(skill.chains_of(rows), reference="es"))
    es = draw(rows, LIGHT).axes[0].get_legend_handles_labels()[1]
    assert es == ["stopped at its peak"]


def test_published_chains_stand_beside_new_ones(study, tmp_path, capsys) -> None:
    assert skill.main([str(study.path), "--out", str(tmp_path / "all")]) == 0
    rows = list(csv.DictReader((tmp_path / "all.csv").open(newline="")))
    with (tmp_path / "published.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, skill.COLUMNS)
        writer.writeheader()
        writer.writerows(row for row in rows if row["method"] == "es")
    said = capsys.readouterr().out
    assert skill.main([str(tmp_path / "published.csv"), str(study.path), "--out", str(tmp_path / "both")]) == 0
    assert capsys.readouterr().out == said
    assert (tmp_path / "both.csv").read_text() == (tmp_path / "all.csv").read_text()
    (tmp_path / "other.csv").write_text("step,loss\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv: expected the columns method, seed"):
        skill.rows_of(tmp_path / "other.csv")


def test_without_curves_there_is_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="no curve of faster"):
        draw([{"method": "other", "seed": "0", "step": "0", "report": "0.1", "pass_at_16": "0.2"}], LIGHT)
