"""What the tiny policy has of its own; `contract/test_policies.py` holds what is asked of every policy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from crestfall.core.errors import InputError
from crestfall.testbed.policies.base import distinct
from crestfall.testbed.policies.tiny import TinyPolicy
from crestfall.testbed.policies.tiny.decode import Cache
from crestfall.testbed.policies.tiny.folded import fold
from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from crestfall.testbed.policies.tiny.prefill import read
from crestfall.testbed.policies.tiny.tokenizer import EOS, PAD
from crestfall.testbed.policies.tiny.tree import grow, padded, score
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin
from research.warmstart.corpus import vocabulary

T = 24
TEMPERATURE = 0.7


@pytest.fixture(scope="module")
def problems():
    return Builtin(levels=(1, 2)).campaign(0, 0, Sizes(6, 1, 1)).train


@pytest.fixture(scope="module")
def policy():
    torch.set_num_threads(1)
    tokenizer = vocabulary()
    model = TinyTransformer(Shape(len(tokenizer), width=32, layers=2, heads=2))
    model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        # Peaked enough that samples of a group share beginnings, and ends come early enough to be seen.
        model.embed.weight.mul_(8.0)
        model.embed.weight[EOS] += model.embed.weight.std() * 0.5
    return LoadedTiny(model, tokenizer)


@pytest.fixture(scope="module")
def uniforms(problems):
    return np.random.default_rng(0).random((len(problems), 5, T), dtype=np.float32)


@pytest.fixture(scope="module")
def samples(policy, problems, uniforms):
    return policy.sample(problems, uniforms, TEMPERATURE)


def test_some_samples_share_beginnings_and_some_differ(samples):
    beginnings = {tuple(tokens[:2]) for tokens in samples.tokens_N[:5]}
    assert len(distinct(samples).first_R) > 6
    assert len(beginnings) < 5 or len(distinct(samples).first_R) < len(samples.tokens_N)


def test_padding_is_never_written(samples):
    assert all(PAD not in tokens for tokens in samples.tokens_N)


def test_tokenizer_returns_every_program_it_reads(policy, problems):
    for problem in problems:
        body = problem.reference.removeprefix(problem.stub)
        ids = policy.tokenizer.encode_code(body)
        assert policy.tokenizer.decode([*ids, EOS, 5, 6]) == body
        assert len(ids) < 63


def test_weights_survive_a_file(policy, problems, uniforms, samples, tmp_path):
    path = tmp_path / "w.safetensors"
    policy.write(path, {"seed": 0})
    again = TinyPolicy(weights=path).load().sample(problems, uniforms, TEMPERATURE)
    assert [t.tolist() for t in again.tokens_N] == [t.tolist() for t in samples.tokens_N]


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", json.dumps({"a": 1}).encode()])
def test_a_file_that_holds_no_policy_is_named(content, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.safetensors"):
        TinyPolicy(weights=path).load()


def test_nothing_is_computed_off_the_weights_device():
    """On torch's meta device, which refuses to meet the CPU as CUDA does, and needs no GPU."""
    model = TinyTransformer(Shape(16, width=32, layers=2, heads=2)).to("meta")
    prompts, completions = [[5, 6, 7], [5, 6]], [np.array([9, 8, 1]), np.array([9, 7]), np.array([4, 1])]
    tree = grow(prompts, np.array([0, 0, 1]), completions)
    logprobs, entropies = score(fold(model, TEMPERATURE), tree.to(model.embed.weight.device))
    inputs, lengths = (x.to("meta") for x in padded(prompts))
    plain = model.completions(inputs, model.prefix(inputs, lengths))
    assert {logprobs.device.type, entropies.device.type, plain.device.type} == {"meta"}

    with torch.inference_mode():
        weights = fold(model, TEMPERATURE)
        shared, first = read(weights, prompts)
        cache = Cache(weights, shared, np.arange(2), 8)
        cache.advance(np.array([1, 2]))
        cache.copy(np.array([0]), np.array([2]))
        cache.close_up(np.array([0, 2]))
        assert {first.device.type, cache.advance(np.array([1, 2])).device.type} == {"meta"}
