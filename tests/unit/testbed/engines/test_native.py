"""The native engine: exact snapshots, gradients that are the formula's, measurements that change nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crestfall.core.errors import GraderError
from crestfall.core.signals import SIGNALS
from crestfall.core.types import Grade, Verdict
from crestfall.store.checkpoints import flat
from crestfall.testbed.config import CampaignConfig, RunConfig
from crestfall.testbed.engines.batch import Batch
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.base import distinct
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin
from crestfall.testbed.tasks.jsonl import Jsonl
from crestfall.testbed.updates.reinforce import Reinforce

GROUP = 6


class Parity:
    """Passes programs by their length: deterministic, instant, and mixed within most groups."""

    verdict = Verdict.WRONG_ANSWER

    def grade_batch(self, pairs):
        return [Grade(Verdict.PASSED if len(program) % 2 else self.verdict) for _, program in pairs]

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def problems():
    return Builtin(levels=(2,)).campaign(0, 0, Sizes(4, 2, 2)).train


def make(rule: Reinforce | None = None, **campaign: object) -> NativeEngine:
    torch.set_num_threads(1)
    options = CampaignConfig(group_size=GROUP, problems_per_step=4, **campaign)
    config = replace(RunConfig(), campaign=options, update=rule or Reinforce(learning_rate=1e-3))
    engine = NativeEngine(config.policy.load(), config.update, config.tasks, Parity(), config)
    engine.begin_campaign(0)
    return engine


def same(a, b) -> bool:
    a, b = dict(flat(a)), dict(flat(b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def step(engine, problems, number):
    return engine.update(engine.rollout(problems, 0, number))


@pytest.mark.parametrize("baseline", ["batch_mean", "running_mean"])
def test_restoring_a_snapshot_is_as_if_nothing_had_followed(problems, baseline):
    engine = make(Reinforce(learning_rate=1e-3, baseline=baseline, warmup_updates=3))
    step(engine, problems, 1)
    then = engine.snapshot()
    signals = step(engine, problems, 2)
    after = engine.snapshot()
    step(engine, problems, 3)
    engine.restore(then)
    assert same(engine.snapshot(), then)
    assert step(engine, problems, 2) == signals
    assert same(engine.snapshot(), after)


def test_a_snapshot_carries_over_to_another_engine(problems):
    one, other = make(), make()
    step(one, problems, 1)
    other.restore(one.snapshot())
    assert step(one, problems, 2) | {"kl_start": 0} == step(other, problems, 2) | {"kl_start": 0}
    assert same(one.snapshot(), other.snapshot())


def test_rollouts_say_where_they_were_drawn(problems):
    drawn = make().rollout(problems[:1], 2, 7)
    assert (drawn.campaign, drawn.step) == (2, 7)


def test_loading_weights_leaves_the_optimizer(problems):
    engine = make()
    base = engine.snapshot()
    step(engine, problems, 1)
    moments = engine.snapshot()["optimizer"]
    engine.load_weights(base)
    now = engine.snapshot()
    assert same(now["policy"], base["policy"])
    assert same(now["optimizer"], moments)


def test_a_forgotten_optimizer_counts_on_without_moments(problems):
    engine = make(Reinforce(learning_rate=1e-3, warmup_updates=4))
    for number in (1, 2):
        step(engine, problems, number)
    weights = engine.snapshot()["policy"]
    engine.forget_optimizer()
    assert same(engine.snapshot()["policy"], weights)
    assert {name: int(value) for name, value in engine.snapshot()["optimizer"].items()} == {"updates": 2}
    assert step(engine, problems, 3)["rate_warmup"] == 0.75


@pytest.mark.parametrize(("kept", "updates"), [("fresh", 0), ("kept", 1)])
def test_adam_between_campaigns(problems, kept, updates):
    engine = make(Reinforce(learning_rate=1e-3, optimizer_state=kept))
    step(engine, problems, 1)
    engine.begin_campaign(1, learning_rate_scale=0.5)
    assert int(engine.snapshot()["optimizer"]["updates"]) == updates
    assert step(engine, problems, 2)["learning_rate"] == 5e-4


def test_a_scale_holds_for_the_rest_of_the_campaign_and_over_a_restore(problems):
    engine = make(Reinforce(learning_rate=1e-3, warmup_updates=2))
    then = engine.snapshot()
    assert step(engine, problems, 1)["learning_rate"] == 5e-4
    engine.restore(then)
    engine.scale_learning_rate(0.5)
    later = [step(engine, problems, n) for n in (2, 3)]
    assert [signals["learning_rate"] for signals in later] == [2.5e-4, 5e-4]
    # Every record says what its rate is a product of.
    assert [signals["rate_control"] for signals in later] == [0.5, 0.5]
    assert [signals["rate_warmup"] for signals in later] == [0.5, 1.0]
    assert [signals["rate_schedule"] for signals in later] == [1.0, 1.0]
    engine.begin_campaign(1)
    assert step(engine, problems, 4)["learning_rate"] == 5e-4


def test_evaluating_changes_nothing_and_repeats(problems):
    engine = make()
    step(engine, problems, 1)
    before = engine.snapshot()
    one, two = (engine.evaluate(problems, 4, ("eval", 0), show=2) for _ in range(2))
    assert one == two
    assert same(engine.snapshot(), before)
    assert engine.evaluate(problems, 4, ("eval", 1)).evaluation != one.evaluation
    assert len(one.evaluation.passed_P) == len(problems)
    assert all(c >= p for c, p in zip(one.evaluation.competent_P, one.evaluation.passed_P, strict=True))
    assert [shown.task_id for shown in one.shown] == [p.task_id for p in problems[:2]]
    assert all(shown.program.startswith("def f(x):\n") for shown in one.shown)


def test_competence_is_absent_where_problems_have_one_way_to_be_answered(problems):
    engine = make()
    engine.tasks = Jsonl(path=Path("own.jsonl"))
    evaluation = engine.evaluate(problems, 4, ("eval", 0)).evaluation
    assert evaluation.competent_P is None
    assert "competence" not in evaluation.to_json()
    assert evaluation.passed_P == make().evaluate(problems, 4, ("eval", 0)).evaluation.passed_P


def test_all_signals_have_canonical_names_and_are_finite(problems):
    signals = step(make(), problems, 1)
    assert set(signals) <= set(SIGNALS)
    assert all(math.isfinite(value) for value in signals.values())
    optional = {"clip_fraction", "ratio_max", "kl_coefficient", "kl_penalty", "ewc_penalty"}
    optional |= {
        "timeouts",
        "grader_faults",
        "rewarded",
        "pace",
        "step_cosine",
        "step_proposed",
        "step_agreement",
        "step_output_share",
        "step_share",
        "step_size",
    }
    missing = set(SIGNALS) - set(signals) - optional - {"step_seconds"}
    assert not missing
    assert signals["kl_base"] == signals["kl_start"] == pytest.approx(0, abs=1e-6)


def test_the_trainer_agrees_with_the_sampler_unless_it_scores_at_another_temperature(problems):
    assert step(make(), problems, 1)["mismatch"] == 0
    assert step(make(Reinforce(logprob_temperature="one")), problems, 1)["mismatch"] > 0.01


def test_only_further_updates_of_a_batch_are_off_policy(problems):
    assert step(make(), problems, 1)["off_policy_kl"] == 0
    signals = step(make(Reinforce(learning_rate=1e-3, minibatches=2)), problems, 1)
    assert signals["off_policy_kl"] > 0
    assert signals["mismatch"] == 0
    other = step(make(Reinforce(logprob_temperature="one")), problems, 1)
    assert "off_policy_kl" not in other  # the trainer's own log-probs before the update were not needed


def test_kl_grows_as_the_policy_moves_and_start_follows_the_campaign(problems):
    engine = make()
    for number in range(1, 4):
        step(engine, problems, number)
    engine.begin_campaign(1)
    signals = step(engine, problems, 4)
    assert signals["kl_base"] > 1e-4
    assert signals["kl_start"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("normalization", ["sequence_sum", "sequence_mean", "token_mean", "constant"])
@pytest.mark.parametrize("temperature", ["sampling", "one"])
def test_the_gradient_is_the_formula_sample_by_sample(problems, normalization, temperature):
    engine = make(Reinforce(normalization=normalization, logprob_temperature=temperature))
    rollouts = engine.rollout(problems, 0, 1)
    samples = rollouts.handle
    passed = np.array([[grade.passed for grade in group] for group in rollouts.grades_PG])
    advantages = engine.rule.advantages(passed, {})
    rows = distinct(samples)
    engine.optimizer.zero()
    batch = Batch(rows, advantages.values_PG, np.ones(len(passed), dtype=bool))
    engine._accumulate(batch, np.arange(len(rows.first_R)))
    got = {name: parameter.grad.clone() for name, parameter in engine.parameters.items()}

    engine.optimizer.zero()
    n, tokens = len(samples.tokens_N), sum(len(t) for t in samples.tokens_N)
    scale = 0.7 if temperature == "sampling" else 1.0
    # Every sample a row of its own: no sharing of equal completions.
    every = replace(rows, first_R=np.arange(n), count_R=np.ones(n, dtype=np.int64))

    def loss(scores):
        total = torch.zeros(())
        for row, logprobs, mask in zip(scores.rows_R, scores.logprobs_RT, scores.mask_RT, strict=True):
            length = int(mask.sum())
            divisor = {"sequence_sum": n, "sequence_mean": n * length, "token_mean": tokens, "constant": n * 64}
            advantage = passed.reshape(-1)[row] - passed.mean()
            total = total - advantage * logprobs[:length].sum() / divisor[normalization]
        return total

    engine.policy.accumulate(every, scale, loss)
    for name, parameter in engine.parameters.items():
        torch.testing.assert_close(got[name], parameter.grad, atol=2e-6, rtol=1e-3)


def test_what_is_observed_is_the_first_pass_alone(problems):
    """Also where more minibatches are asked for than there are problems."""
    four, many = (step(make(Reinforce(minibatches=n, epochs=2, learning_rate=1e-2)), problems, 1) for n in (4, 9))
    assert four == many


def test_minibatches_split_problems_and_take_one_update_each(problems):
    engine = make(Reinforce(minibatches=2, epochs=2))
    rollouts = engine.rollout(problems, 0, 1)
    parts = engine._minibatches(distinct(rollouts.handle))
    first, second = ({int(p) for p in distinct(rollouts.handle).problem_R[part]} for part in parts)
    assert first | second == {0, 1, 2, 3}
    assert not first & second
    engine.update(rollouts)
    assert int(engine.snapshot()["optimizer"]["updates"]) == 4


def test_a_grader_fault_is_an_error_never_a_failing_program(problems):
    engine = make()
    engine.grader.verdict = Verdict.INFRA
    with pytest.raises(GraderError, match="grader failed on"):
        engine.rollout(problems, 0, 1)


def test_drift_needs_a_baseline(problems):
    assert step(make(Reinforce(baseline="none")), problems, 1)["baseline_drift"] == 0
    assert step(make(Reinforce(baseline="batch_mean")), problems, 1)["baseline_drift"] > 0


def test_an_evaluation_counts_the_different_programs_that_passed(problems):
    """At a temperature near 0 all samples of a problem are one program; at a high one they are not."""
    counts = {}
    for temperature in (1e-4, 1.5):
        evaluation = make(temperature=temperature, greedy=False).evaluate(problems, 8, ("test",)).evaluation
        assert evaluation.distinct_P is not None
        for passed, different in zip(evaluation.passed_P, evaluation.distinct_P, strict=True):
            assert min(passed, 1) <= different <= passed
        counts[temperature] = sum(evaluation.distinct_P), sum(evaluation.passed_P)
    assert counts[1e-4][0] <= len(problems)
    assert counts[1.5][0] > len(problems)
