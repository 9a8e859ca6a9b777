"""Sentences of consoles that say of how many episodes a value is, nested consoles, and result files of evaluations."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from crestfall.analysis.headline import headline
from crestfall.analysis.importers.load import load
from crestfall.core.errors import InputError
from curves import POINTS, STEPS, UP_AND_DOWN, lines, written

EASYR1 = """(Runner pid=12) Step {s}
(Runner pid=12) actor:
(Runner pid=12)   entropy_loss: 0.1
(Runner pid=12) critic:
(Runner pid=12)   advantages:
(Runner pid=12)     max: 1.2
(Runner pid=12)     mean: 0.0
(Runner pid=12)   returns:
(Runner pid=12)     mean: 0.3
(Runner pid=12) reward:
(Runner pid=12)   accuracy: 0.2
(Runner pid=12)   format: 0.99
(Runner pid=12)   overall: {v}
(Runner pid=12)
"""
EVALPLUS = """=== out/global_step_{s} ===
humaneval (base tests)
pass@1:\t0.9
humaneval+ (base + extra tests)
pass@1:\t{v}
"""

PHRASES = {
    "over the last": ("Episode {s}, Average reward over last 100 episodes: {v}\n", "Average reward"),
    "in parentheses": ("Episode {s}\tAverage Score (last 100 episodes): {v}\n", "Average Score"),
    "over, equals": ("[Eval @ step {s}] mean return over 20 episodes = {v} (std 0.1)\n", "eval/mean return"),
    "of rollouts": ("Step {s}: avg reward of last 50 rollouts: {v}\n", "avg reward"),
    "alone": ("Step {s}\n---\nEvaluation over 10 episodes: {v}\n---\n", "Evaluation"),
    "a number in the name": ("ckpt_{s} accuracy {v}\n", "accuracy"),
    "letter": ("iter {s}: R={v} KL=0.1\n", "R"),
    "number of an episode": ("Total T: {s}000 Episode Num: {s} Reward: {v}\n", "Reward"),
    "nested YAML": (EASYR1, "reward/overall"),
    "EvalPlus' text": (EVALPLUS, "humaneval+/pass@1"),
}


@pytest.mark.parametrize("name", PHRASES)
def test_phrases(name: str, tmp_path: Path) -> None:
    template, metric = PHRASES[name]
    (t,) = load([written(tmp_path, "x.log", lines(lambda s, v: template.format(s=s, v=v)))], metric=metric)
    assert (t.steps_S.tolist(), t.values_S.tolist()) == (STEPS, UP_AND_DOWN)


def test_a_counter_on_a_line_of_its_own_is_of_the_values_after_it(tmp_path: Path) -> None:
    rule = "-" * 30
    text = lines(lambda s, v: f"Time steps: {s}000\n{rule}\nEvaluation over 10 episodes: {v} , D4RL score: 3\n{rule}\n")
    (t,) = load([written(tmp_path, "x.log", text)])
    assert (t.metric, t.steps_S.tolist()) == ("Evaluation", [1000 * s for s in STEPS])


def test_rows_before_the_bar_of_their_step(tmp_path: Path) -> None:
    text = lines(lambda s, v: f"{{'reward': {v}, 'epoch': 0.1}}\n {s}%|#  | {5 * s}/300 [00:10<01:00,  1.31s/it]\n")
    (t,) = load([written(tmp_path, "x.log", text)])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == ([5 * s for s in STEPS], UP_AND_DOWN)


def lm_eval(step: int, value: float) -> dict[str, Any]:
    scores = {"alias": "gsm8k", "exact_match,strict-match": value, "exact_match_stderr,strict-match": 0.01}
    config = {"model": "vllm", "model_args": f"pretrained=out/checkpoint-{step},dtype=bfloat16"}
    return {"results": {"gsm8k": scores}, "n-samples": {"gsm8k": {"original": 1319}}, "config": config}


def inspect(step: int, value: float) -> dict[str, Any]:
    score = {"name": "verify", "metrics": {"accuracy": {"value": value}, "stderr": {"value": 0.03}}}
    return {"eval": {"task": "humaneval", "model": f"vllm/out/checkpoint-{step}"}, "results": {"scores": [score]}}


@pytest.mark.parametrize("result", [lm_eval, inspect])
def test_result_files_that_name_their_checkpoint_inside(result: Any, tmp_path: Path) -> None:
    for i, (s, v) in enumerate(POINTS):
        written(tmp_path, f"2026-05-01T10-{i:02d}-00.json", json.dumps(result(100 * s, v)))
    (t,) = load([tmp_path])
    assert (t.steps_S.tolist(), t.values_S.tolist()) == ([100 * s for s in STEPS], UP_AND_DOWN)


def test_verdicts_of_evalplus_are_shares_of_known_size(tmp_path: Path) -> None:
    for s, v in POINTS[::5]:
        problems = range(200)
        rows = {
            f"HumanEval/{k}": [{"base_status": "pass", "plus_status": "pass" if k < 200 * v else "fail"}]
            for k in problems
        }
        written(tmp_path, f"out--checkpoint-{s}_eval_results.json", json.dumps({"hash": "x" * 70_000, "eval": rows}))
    (t,) = load([tmp_path], metric="passed plus_status")
    assert len(t) == 12
    assert t.standard_errors_S is not None
    assert t.values_S == pytest.approx([v for _, v in POINTS[::5]], abs=0.005)


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("passed", "failed"), ("True", "False")])
def test_graded_samples_in_words(yes: str, no: str, tmp_path: Path) -> None:
    draw = random.Random(0).random
    rows = "".join(f"{s},HumanEval/{k},{yes if draw() < v else no}\n" for s, v in POINTS for k in range(30))
    (t,) = load([written(tmp_path, "x.csv", "step,task,passed\n" + rows)])
    assert (t.metric, len(t), t.standard_errors_S is not None) == ("passed", 60, True)


def test_headline_names_the_training_reward_beside_an_evaluation_of_too_few_points() -> None:
    said = headline([("val/acc", "evaluation", "too_few_points"), ("reward", "reward", "collapse")])
    assert said == "val/acc has too few points to say; the training reward reward collapses"


def test_a_curve_with_its_model_is_no_result_of_one_checkpoint(tmp_path: Path) -> None:
    rows = [{"step": s, "accuracy": v} for s, v in POINTS[:15]]
    data = {"model": "out/checkpoint-5", "history": rows, "results": {"final_accuracy": 0.4}}
    (t,) = load([written(tmp_path, "x.json", json.dumps(data))])
    assert len(t) == 15


def test_words_of_verdicts_name_metrics_among_other_words(tmp_path: Path) -> None:
    rows = "".join(f"{s},correct,{v}\n{s},length,100\n" for s, v in POINTS)
    (t,) = load([written(tmp_path, "x.csv", "step,metric,value\n" + rows)])
    assert (t.metric, t.values_S.tolist()) == ("correct", UP_AND_DOWN)


def test_train_and_test_say_not_what_they_measure(tmp_path: Path) -> None:
    rows = "".join(f"{s},{v},{v}\n" for s, v in POINTS)
    with pytest.raises(InputError, match="choose one with --metric: train, test"):
        load([written(tmp_path, "x.csv", "epoch,train,test\n" + rows)])
