"""Hugging Face policies, whole and with adapters: both engines train the same model, and sample it the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl")
torch = pytest.importorskip("torch")

from small_engines import Parity, trl_engine  # noqa: E402

import tiny_hf  # noqa: E402
from crestfall.control.pace import KLPace  # noqa: E402
from crestfall.core.registry import lookup  # noqa: E402
from crestfall.testbed.config import CampaignConfig, RunConfig  # noqa: E402
from crestfall.testbed.engines.native import NativeEngine  # noqa: E402
from crestfall.testbed.engines.trl.sampler import KeyedSampler  # noqa: E402
from crestfall.testbed.policies.hf import Lora  # noqa: E402
from crestfall.testbed.updates.reinforce import Reinforce  # noqa: E402

pytestmark = [pytest.mark.trl, pytest.mark.hf, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "whole": ({}, {}),
    "adapters": ({}, {"lora": Lora(rank=4)}),
    "gemma": (tiny_hf.GEMMA, {}),
    "chat": ({"chat": True}, {}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_engines_agree(variant: str, tmp_path: Any) -> None:
    saved, options = VARIANTS[variant]
    policy = tiny_hf.policy(tiny_hf.save(tmp_path, **saved), **options)
    campaign = CampaignConfig(group_size=4, problems_per_step=3, temperature=1.0)
    tasks = lookup("tasks", "comments")()
    rule = Reinforce(learning_rate=1e-3, clip_norm=0.0)
    config = replace(RunConfig(), policy=policy, tasks=tasks, campaign=campaign, update=rule)
    native = NativeEngine(policy.load(), rule, tasks, Parity(), config)
    native.begin_campaign(0)
    trl = trl_engine(config)
    problems = tiny_hf.problems("train", 3)

    ours, theirs = (engine.rollout(problems, 0, 1) for engine in (native, trl))
    assert ours.completions_PG == theirs.completions_PG
    # What samples for a policy without a sampler of its own: the same draws, and programs made in the same way.
    keyed = KeyedSampler(trl.parts, trl.trainer, 5)
    uniforms = native._uniforms(problems, 4, ("rollout", 0, 0, 1))
    samples = keyed.sample(problems, uniforms, 1.0)
    assert samples.programs_N == ours.handle.programs_N
    assert np.array_equal(samples.truncated_N, ours.handle.truncated_N)

    # Rewards by the text and not by the program: a chat answer of this model never holds one.
    grades = [Parity().grade_batch([(None, text) for text in group]) for group in ours.completions_PG]
    frozen = replace(ours, grades_PG=grades)
    signals = native.update(frozen), trl.update(frozen)
    assert signals[1]["grad_norm"] == pytest.approx(signals[0]["grad_norm"], rel=1e-3)
    moments = [
        {k: v for k, v in engine.snapshot()["optimizer"].items() if k.endswith("exp_avg")} for engine in (native, trl)
    ]
    assert moments[0].keys() == moments[1].keys()
    scale = max(float(value.abs().max()) for value in moments[0].values())
    assert scale > 0
    for name, value in moments[0].items():
        assert float((value - moments[1][name]).abs().max()) < 1e-4 * scale, name


@pytest.mark.parametrize("variant", ["whole", "adapters"])
def test_both_engines_pace_alike(variant: str, tmp_path: Any) -> None:
    """A rate that is far too high: the same step is measured, pulled back and slowed down."""
    saved, options = VARIANTS[variant]
    policy = tiny_hf.policy(tiny_hf.save(tmp_path, **saved), **options)
    campaign = CampaignConfig(group_size=4, problems_per_step=3, temperature=1.0)
    tasks, rule = lookup("tasks", "comments")(), Reinforce(learning_rate=0.3, clip_norm=0.0, pace=KLPace())
    config = replace(RunConfig(), policy=policy, tasks=tasks, campaign=campaign, update=rule)
    native = NativeEngine(policy.load(), rule, tasks, Parity(), config)
    native.begin_campaign(0)
    trl = trl_engine(config)
    ours = native.rollout(tiny_hf.problems("train", 3), 0, 1)
    grades = [Parity().grade_batch([(None, text) for text in group]) for group in ours.completions_PG]
    frozen = replace(ours, grades_PG=grades)
    mine, theirs = native.update(frozen), trl.update(frozen)
    names = ["step_proposed", "step_size", "step_share", "pace"]
    names += ["step_output_share"] if variant == "whole" else []
    for name in names:
        assert theirs[name] == pytest.approx(mine[name], rel=0.02), name
    assert 0 < mine["step_share"] < 1
    assert mine["step_size"] <= 2 * rule.pace.target
    assert trl.pace.scale == native.pace.scale == 0.25
    then, again = trl.snapshot(), trl_engine(config)
    again.restore(then)
    assert again.pace.scale == 0.25
    assert trl.update(frozen)["pace"] == again.update(frozen)["pace"] == 0.25
