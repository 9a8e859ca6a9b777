"""Tokens a second of ours and of the peers, one after another on the same model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from crestfall.testbed.policies.base import Samples, distinct
from crestfall.testbed.policies.hf.policy import LoadedHf
from crestfall.testbed.policies.padding import padded
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.sentences import Sentences
from research.gpu_check.peers import generate, plain_loop

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[T, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    out = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return out, time.perf_counter() - start


def plain_update(policy: LoadedHf, samples: Samples, rows: int = 8) -> None:
    """Gradient of the summed log-probs, `rows` samples at a time, prompts and logits for every one."""
    model, prompts = policy.lm.model, [policy.text.encode(problem) for problem in samples.problem_N]
    for start in range(0, len(prompts), rows):
        part = range(start, min(start + rows, len(prompts)))
        whole = [np.concatenate((prompts[n], samples.tokens_N[n])) for n in part]
        ids, mask = (tensor.to(policy.lm.device) for tensor in padded(whole, policy.text.pad))
        logprobs = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float().log_softmax(-1)
        chosen = logprobs.gather(-1, ids[:, 1:, None])[..., 0]
        written = mask[:, 1:].clone()
        for row, n in enumerate(part):
            written[row, : len(prompts[n]) - 1] = 0
        (chosen * written).sum().backward()


def compare(policy: LoadedHf, problems: int, group: int, tokens: int) -> dict[str, float]:
    """Tokens a second of each."""
    chosen = Sentences().campaign(100, 0, Sizes(problems, 1, 1)).train
    uniforms = np.random.default_rng(0).random((problems, group, tokens), dtype=np.float32)
    policy.sample(chosen, uniforms[:, :, :2], 1.0)
    samples, sampling = timed(lambda: policy.sample(chosen, uniforms, 1.0))
    written, asked = sum(map(len, samples.tokens_N)), problems * group * tokens
    prompts = [policy.text.encode(problem) for problem in samples.problem_N]
    ids, mask = (tensor.to(policy.lm.device) for tensor in padded(prompts, policy.text.pad, left=True))
    _, generating = timed(lambda: generate(policy.lm.model, ids, mask, tokens))

    def loop() -> Any:
        with torch.inference_mode():
            return plain_loop(policy.lm.model, ids, mask, tokens)

    _, looping = timed(loop)
    rows = distinct(samples)
    _, updating = timed(lambda: policy.accumulate(rows, 1.0, lambda scores: scores.logprobs_RT.sum()))
    _, scoring = timed(lambda: policy.score(rows, 1.0))
    _, plainly = timed(lambda: plain_update(policy, samples))
    return {
        "sampling, crestfall": written / sampling,
        "sampling, generate": asked / generating,
        "sampling, plain loop": asked / looping,
        "scoring, crestfall": written / scoring,
        "gradient, crestfall": written / updating,
        "gradient, plain loop": written / plainly,
    }
