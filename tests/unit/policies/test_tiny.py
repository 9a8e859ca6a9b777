"""The tiny policy against slow and obvious versions of itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from crestfall.errors import InputError
from crestfall.policies.base import distinct
from crestfall.policies.tiny import TinyPolicy
from crestfall.policies.tiny.model import Shape, TinyTransformer
from crestfall.policies.tiny.policy import LoadedTiny
from crestfall.policies.tiny.tokenizer import CODE, EOS, PAD
from crestfall.policies.tiny.tree import padded
from crestfall.policies.tiny.warmstart import vocabulary
from crestfall.tasks.base import Sizes
from crestfall.tasks.builtin import Builtin

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


def plain_logits(policy, problem, tokens):
    """Logits after the prompt and each token: one whole forward pass, nothing cached or shared."""
    prompt, lengths = padded([policy.tokenizer.encode_spec(problem.prompt)])
    inputs = torch.tensor([[CODE, *tokens]])
    return policy.model.completions(inputs, policy.model.prefix(prompt, lengths))[0]


def test_tree_decoding_draws_what_plain_sampling_draws(policy, problems, uniforms, samples):
    for p, problem in enumerate(problems):
        for g in range(uniforms.shape[1]):
            tokens: list[int] = []
            with torch.no_grad():
                while len(tokens) < T and EOS not in tokens:
                    logits = plain_logits(policy, problem, tokens)[-1] / TEMPERATURE
                    cdf = logits.softmax(-1).double().cumsum(-1)
                    tokens.append(int((cdf <= uniforms[p, g, len(tokens)]).sum()))
            drawn = samples.tokens_N[p * uniforms.shape[1] + g].tolist()
            assert drawn == tokens
            assert samples.truncated_N[p * uniforms.shape[1] + g] == (EOS not in tokens)


def test_some_samples_share_beginnings_and_some_differ(samples):
    beginnings = {tuple(tokens[:2]) for tokens in samples.tokens_N[:5]}
    assert len(distinct(samples).first_R) > 6
    assert len(beginnings) < 5 or len(distinct(samples).first_R) < len(samples.tokens_N)


def test_a_sample_does_not_depend_on_its_company(policy, problems, uniforms, samples):
    alone = policy.sample(problems[2:3], uniforms[2:3, 1:2], TEMPERATURE)
    assert alone.tokens_N[0].tolist() == samples.tokens_N[2 * 5 + 1].tolist()


def test_greedy_column_takes_the_most_likely_token(policy, problems, uniforms, samples):
    mixed = policy.sample(problems, uniforms, TEMPERATURE, greedy=True)
    for p, problem in enumerate(problems):
        tokens = mixed.tokens_N[p * 5 + 4].tolist()
        with torch.no_grad():
            best = plain_logits(policy, problem, tokens[:-1]).argmax(-1).tolist()
        assert tokens == best
        for g in range(4):
            assert mixed.tokens_N[p * 5 + g].tolist() == samples.tokens_N[p * 5 + g].tolist()


def test_scores_equal_the_sampling_log_probs(policy, samples):
    rows = distinct(samples)
    for scores in policy.score(rows, TEMPERATURE):
        for row, logprobs, mask in zip(scores.rows_R, scores.logprobs_RT, scores.mask_RT, strict=True):
            drawn_under = samples.logprobs_N[rows.first_R[row]]
            assert int(mask.sum()) == len(drawn_under)
            np.testing.assert_allclose(logprobs[: len(drawn_under)].numpy(), drawn_under, atol=2e-4)


def test_gradient_equals_autograd_on_every_sample_by_itself(policy, problems, samples):
    weights = np.random.default_rng(1).normal(size=len(samples.tokens_N)).astype(np.float32)
    rows = distinct(samples)
    per_row = np.zeros(len(rows.first_R), dtype=np.float32)
    np.add.at(per_row, rows.row_of_N, weights)

    policy.model.zero_grad(set_to_none=True)
    policy.accumulate(rows, TEMPERATURE, lambda s: (s.logprobs_RT.sum(1) * torch.from_numpy(per_row[s.rows_R])).sum())
    shared = {name: parameter.grad.clone() for name, parameter in policy.named_parameters().items()}

    policy.model.zero_grad(set_to_none=True)
    for n, tokens in enumerate(samples.tokens_N):
        logits = plain_logits(policy, problems[n // 5], tokens[:-1].tolist())
        log_p = (logits / TEMPERATURE).log_softmax(-1)
        (weights[n] * log_p[torch.arange(len(tokens)), torch.from_numpy(tokens)].sum()).backward()
    for name, parameter in policy.named_parameters().items():
        torch.testing.assert_close(shared[name], parameter.grad, atol=1e-4, rtol=1e-3)


def test_entropy_is_that_of_the_sampling_distribution(policy, problems, samples):
    rows = distinct(samples)
    scores = policy.score(rows, TEMPERATURE)[0]
    row, n = int(scores.rows_R[0]), int(rows.first_R[scores.rows_R[0]])
    tokens = samples.tokens_N[n]
    with torch.no_grad():
        p = (plain_logits(policy, problems[n // 5], tokens[:-1].tolist()) / TEMPERATURE).softmax(-1)
    expected = -(p * p.clamp_min(1e-30).log()).sum(-1)
    torch.testing.assert_close(scores.entropy_RT[0, : len(tokens)], expected, atol=1e-4, rtol=1e-3)
    assert row in scores.rows_R


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
