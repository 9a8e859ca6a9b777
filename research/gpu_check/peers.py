"""The same completions by `transformers.generate` and by a plain loop, on the same model held in bfloat16."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crestfall.testbed.config import RunConfig
from crestfall.testbed.policies.padding import padded
from research.gpu_check.place import Place
from research.gpu_check.report import Section


@torch.no_grad()  # and no inference mode: a policy that is loaded in it cannot try its gradient
def compare(place: Place, section: Section, name: str, config: RunConfig) -> None:
    """Tokens a second of each, one after the other; crestfall's are measured beside them, sampling alone."""
    place.clean()
    policy, problems = config.policy.load(), config.sets(0).train
    group, longest = config.campaign.group_size, config.policy.max_tokens
    uniforms = np.random.default_rng(0).random((len(problems), group, longest), dtype=np.float32)
    tokens = len(problems) * group * longest
    policy.sample(problems, uniforms[:, :, :4], 1.0)
    _, ours = place.timed(lambda: policy.sample(problems, uniforms, 1.0))
    prompts = [policy.text.encode(problem) for problem in problems for _ in range(group)]
    model = policy.lm.model.to(torch.bfloat16) if place.cuda else policy.lm.model
    ids, mask = (tensor.to(place.device) for tensor in padded(prompts, policy.text.pad, left=True))
    generate(model, ids, mask, 4)
    _, by_generate = place.timed(lambda: generate(model, ids, mask, longest))
    plain_loop(model, ids, mask, 4)
    _, by_loop = place.timed(lambda: plain_loop(model, ids, mask, longest))
    section.add(f"{name}: crestfall, tokens a second", tokens / ours)
    section.add(f"{name}: generate, tokens a second", tokens / by_generate)
    section.add(f"{name}: plain loop, tokens a second", tokens / by_loop)
    ratio = by_generate / ours
    section.add(f"{name}: crestfall over generate", ratio, "at least 1", None if not place.cuda else ratio >= 1)


def generate(model: Any, ids: torch.Tensor, mask: torch.Tensor, longest: int) -> torch.Tensor:
    """Plain sampling: no filter, no end before the limit."""
    out: torch.Tensor = model.generate(
        ids,
        attention_mask=mask,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        min_new_tokens=longest,
        max_new_tokens=longest,
        pad_token_id=0,
    )
    return out


def plain_loop(model: Any, ids: torch.Tensor, mask: torch.Tensor, longest: int) -> torch.Tensor:
    """Plain sampling loop: the model, its cache, `multinomial`; every sample computes its prompt."""
    cache, written = None, []
    for _ in range(longest):
        out = model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        ids = torch.multinomial(out.logits[:, -1].float().softmax(-1), 1)
        mask = torch.cat((mask, mask.new_ones(len(mask), 1)), dim=1)
        written.append(ids)
    return torch.cat(written, dim=1)
