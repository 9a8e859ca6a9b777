"""The supervised training that makes the tiny policy's weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from crestfall.core.rng import seed_of
from crestfall.testbed.policies.tiny import TinyPolicy
from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from crestfall.testbed.policies.tiny.tokenizer import CODE
from crestfall.testbed.policies.tiny.tree import padded
from research.warmstart.corpus import Corpus, Example, Recipe, vocabulary


def train(recipe: Recipe) -> LoadedTiny:
    """Train from the recipe's start, with a fresh optimizer."""
    policy = initial(recipe)
    model, corpus = policy.model, Corpus(recipe, policy.tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.schedule, pct_start=0.05
    )
    for step in range(recipe.steps):
        loss = supervised_loss(model, corpus.batch(step))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == recipe.steps - 1:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)
    return policy


def initial(recipe: Recipe) -> LoadedTiny:
    """The policy before any training of the recipe."""
    if recipe.start == "conventions":
        return TinyPolicy().load()
    tokenizer = vocabulary()
    model = TinyTransformer(Shape(len(tokenizer), recipe.width, recipe.layers, recipe.heads))
    model.initialise(torch.Generator().manual_seed(seed_of("warm start weights", recipe.seed)))
    return LoadedTiny(model, tokenizer)


def supervised_loss(model: TinyTransformer, batch: Sequence[Example]) -> torch.Tensor:
    """Mean negative log-likelihood per token of the completions."""
    specs, codes = zip(*batch, strict=True)
    device = model.embed.weight.device
    targets, lengths = (tensor.to(device) for tensor in padded(codes))
    inputs = torch.cat((targets.new_full((len(targets), 1), CODE), targets[:, :-1]), dim=1)
    prefix = model.prefix(*(tensor.to(device) for tensor in padded(specs)))
    log_p = model.completions(inputs, prefix).log_softmax(dim=-1)
    mask = torch.arange(targets.shape[1], device=device) < lengths[:, None]
    return -log_p.gather(-1, targets[..., None]).squeeze(-1)[mask].mean()
