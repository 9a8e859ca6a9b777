"""The same weights, problems and random numbers on the device and on the CPU: completions, log-probs, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crestfall.testbed.policies.base import LoadedPolicy, Rows, Samples, distinct
from crestfall.testbed.policies.hf import HfPolicy, Lora
from crestfall.testbed.policies.tiny import TinyPolicy
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin
from research.gpu_check.models import SHAPES, save
from research.gpu_check.place import Place, relative_error
from research.gpu_check.report import Section

GROUP, TEMPERATURE = 8, 0.7


def tiny(place: Place, section: Section) -> None:
    """The shipped tiny policy on the device and on the CPU."""
    on_cpu, here = (TinyPolicy(device=device).load() for device in ("cpu", place.device))  # type: ignore[arg-type]
    compare(place, section, "tiny", on_cpu, here, longest=48, problems=6 if place.rehearse else 24)


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Qwen2": ({}, {}),
    # A window, soft caps, other norms: what differs from model to model.
    "Gemma2": ({"family": "Gemma2", "head_dim": 16, "sliding_window": 8, "final_logit_softcapping": 3.0}, {}),
    "Qwen2, LoRA": ({}, {"lora": Lora(rank=4)}),
    "Qwen2, checkpointing": ({}, {"gradient_checkpointing": True}),
    "Qwen2, bfloat16": ({}, {"dtype": "bfloat16"}),
}


def hugging_face(place: Place, section: Section) -> None:
    """Small models of transformers, prompts of unequal lengths in one batch: on the device and on the CPU."""
    for name, (config, options) in VARIANTS.items():
        directory = save(place.scratch / f"same-{name}", SHAPES["tiny"], "cpu", scale=5.0, **config)
        on_cpu, here = (
            HfPolicy(model=str(directory), device=device, prompt="plain", max_tokens=24, **options).load()  # type: ignore[arg-type]
            for device in ("cpu", place.device)
        )
        replays = here.lm.anatomy.replays
        section.add(f"{name}: decoding steps are replayed", replays, "where the cache has no window")
        for policy in (on_cpu, here):  # adapters begin as zeros: a policy that forgot them would look right
            if "lora" in options:
                generator = torch.Generator().manual_seed(0)
                for parameter in policy.named_parameters().values():
                    parameter.data.add_(torch.randn(parameter.shape, generator=generator).to(parameter.device) * 0.05)
        compare(place, section, name, on_cpu, here, longest=24, problems=6, rough="dtype" in options)


def compare(
    place: Place,
    section: Section,
    name: str,
    on_cpu: LoadedPolicy,
    here: LoadedPolicy,
    longest: int,
    problems: int,
    rough: bool = False,
) -> None:
    """`rough`: in bfloat16, where rounding decides draws."""
    chosen = Builtin().campaign(0, 0, Sizes(problems, 1, 1)).train
    uniforms = np.random.default_rng(0).random((problems, GROUP, longest), dtype=np.float32)
    reference = on_cpu.sample(chosen, uniforms, TEMPERATURE)
    drawn = here.sample(chosen, uniforms, TEMPERATURE)
    again = here.sample(chosen, uniforms, TEMPERATURE)
    equal = _equal(drawn, reference)
    # Under bfloat16 one rounding decides a draw, and from there on two completions differ: nothing is expected.
    enough = None if rough else bool(equal.mean() >= 0.97)
    section.add(f"{name}: equal completions", float(equal.mean()), "" if rough else "at least 0.97", enough)
    section.add(f"{name}: completions drawn a second time are equal", float(_equal(again, drawn).mean()))
    rows = distinct(reference)
    bound = 0.05 if rough else 2e-3
    worst = _worst(_logprobs(here, rows), _logprobs(on_cpu, rows), mean=rough)
    kind = "mean" if rough else "largest"
    section.add(f"{name}: {kind} difference of log-probs", worst, f"below {bound}", worst < bound)
    bound = 0.1 if rough else 1e-3
    error = relative_error(_gradient(here, rows), _gradient(on_cpu, rows))
    section.add(f"{name}: relative error of the gradient", error, f"below {bound}", error < bound)


def _equal(one: Samples, other: Samples) -> Any:
    return np.array([np.array_equal(a, b) for a, b in zip(one.tokens_N, other.tokens_N, strict=True)])


def _logprobs(policy: LoadedPolicy, rows: Rows) -> dict[int, Any]:
    out = {}
    for scores in policy.score(rows, TEMPERATURE):
        for row, logprobs, length in zip(scores.rows_R, scores.logprobs_RT, scores.mask_RT.sum(1), strict=True):
            out[int(row)] = logprobs[: int(length)]
    return out


def _worst(one: dict[int, Any], other: dict[int, Any], mean: bool) -> float:
    differences = torch.cat([(one[row] - other[row]).abs() for row in other])
    return float(differences.mean() if mean else differences.max())


def _gradient(policy: LoadedPolicy, rows: Rows) -> dict[str, torch.Tensor]:
    weights = torch.from_numpy(np.random.default_rng(1).normal(size=len(rows.first_R)).astype(np.float32))
    policy.accumulate(rows, TEMPERATURE, lambda s: (s.logprobs_RT.sum(1) * weights[s.rows_R]).sum())
    parameters = policy.named_parameters()
    out = {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
    for parameter in parameters.values():
        parameter.grad = None
    return out
