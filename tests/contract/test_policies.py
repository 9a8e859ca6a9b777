"""Every policy against slow and obvious versions of itself: one forward pass per sample, nothing cached, shared or
padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import tiny_hf
from crestfall.core.types import Problem
from crestfall.grading.programs import program_of
from crestfall.testbed.policies.base import distinct
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin

T = 24
G = 5
TEMPERATURE = 0.7


@dataclass(frozen=True)
class Case:
    policy: Any
    eos: frozenset[int]
    logits: Callable[[Problem, Sequence[int]], torch.Tensor]
    """Logits [len(tokens) + 1, V] after the prompt and after each of the tokens."""


def tiny(_: Any) -> Case:
    from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer
    from crestfall.testbed.policies.tiny.policy import LoadedTiny
    from crestfall.testbed.policies.tiny.tokenizer import CODE, EOS
    from crestfall.testbed.policies.tiny.tree import padded
    from research.warmstart.corpus import vocabulary

    tokenizer = vocabulary()
    model = TinyTransformer(Shape(len(tokenizer), width=32, layers=2, heads=2))
    model.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        # Peaked enough that samples of a group share beginnings, and ends come early enough to be seen.
        model.embed.weight.mul_(8.0)
        model.embed.weight[EOS] += model.embed.weight.std() * 0.5

    def logits(problem: Problem, tokens: Sequence[int]) -> torch.Tensor:
        prompt, lengths = padded([tokenizer.encode_spec(problem.prompt)])
        return model.completions(torch.tensor([[CODE, *tokens]]), model.prefix(prompt, lengths))[0]

    return Case(LoadedTiny(model, tokenizer), frozenset({EOS}), logits)


def hugging_face(name: str) -> Callable[[Any], Case]:
    def make(tmp_path_factory: Any) -> Case:
        pytest.importorskip("transformers")
        directory = tiny_hf.save(tmp_path_factory.mktemp(name), **tiny_hf.SAVED.get(name, {}))
        policy = tiny_hf.policy(directory, **tiny_hf.VARIANTS[name]).load()
        if "lora" in name:  # adapters begin as zeros: a policy that forgot them would look right
            with torch.no_grad():
                generator = torch.Generator().manual_seed(0)
                for parameter in policy.named_parameters().values():
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)

        def logits(problem: Problem, tokens: Sequence[int]) -> torch.Tensor:
            prompt = policy.text.tokenizer(f"{problem.prompt}\n{problem.stub}")["input_ids"]
            return policy.lm.model(torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 :]

        return Case(policy, frozenset({1, 2}), logits)

    return make


CASES = {"tiny": tiny, **{name: hugging_face(name) for name in tiny_hf.VARIANTS}}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    torch.set_num_threads(1)
    return CASES[request.param](tmp_path_factory)


@pytest.fixture(scope="module")
def problems():
    return Builtin(levels=(1, 2)).campaign(0, 0, Sizes(6, 1, 1)).train


@pytest.fixture(scope="module")
def uniforms(problems):
    return np.random.default_rng(0).random((len(problems), G, T), dtype=np.float32)


@pytest.fixture(scope="module")
def samples(case, problems, uniforms):
    return case.policy.sample(problems, uniforms, TEMPERATURE)


def test_samples_are_those_of_plain_sampling(case, problems, uniforms, samples):
    """Each token is the one that its uniform picks after the tokens before it: of a causal model one pass says it of
    all of a sample's tokens."""
    for p, problem in enumerate(problems):
        for g in range(G):
            tokens = samples.tokens_N[p * G + g].tolist()
            with torch.no_grad():
                cdf_TV = (case.logits(problem, tokens) / TEMPERATURE).softmax(-1).double().cumsum(-1)[: len(tokens)]
            drawn = torch.from_numpy(uniforms[p, g, : len(tokens)])
            assert tokens == (cdf_TV <= drawn[:, None]).sum(-1).tolist()
            ended = bool(case.eos & set(tokens))
            assert not case.eos & set(tokens[:-1])
            assert ended or len(tokens) == T
            assert samples.truncated_N[p * G + g] == (not ended)


def test_the_model_that_the_samples_are_held_against_is_causal(case, problems, samples):
    tokens = samples.tokens_N[2 * G].tolist()
    with torch.no_grad():
        whole, part = (case.logits(problems[2], tokens[:stop]) for stop in (len(tokens), len(tokens) // 2))
    torch.testing.assert_close(whole[: len(part)], part, atol=1e-5, rtol=1e-4)


def test_the_samples_of_these_tests_end_and_are_cut_off_and_differ(samples):
    assert 0 < samples.truncated_N.sum() < len(samples.truncated_N)
    assert len(distinct(samples).first_R) > 6


def test_a_sample_does_not_depend_on_its_company(case, problems, uniforms, samples):
    alone = case.policy.sample(problems[2:3], uniforms[2:3, 1:2], TEMPERATURE)
    assert alone.tokens_N[0].tolist() == samples.tokens_N[2 * G + 1].tolist()


def test_a_second_time_is_the_first(case, problems, uniforms, samples):
    again = case.policy.sample(problems, uniforms, TEMPERATURE)
    assert all(np.array_equal(a, b) for a, b in zip(again.tokens_N, samples.tokens_N, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(again.logprobs_N, samples.logprobs_N, strict=True))


def test_greedy_column_takes_the_most_likely_token(case, problems, uniforms, samples):
    mixed = case.policy.sample(problems, uniforms, TEMPERATURE, greedy=True)
    for p, problem in enumerate(problems):
        tokens = mixed.tokens_N[p * G + G - 1].tolist()
        with torch.no_grad():
            best = case.logits(problem, tokens[:-1]).argmax(-1).tolist()
        assert tokens == best
        for g in range(G - 1):
            assert mixed.tokens_N[p * G + g].tolist() == samples.tokens_N[p * G + g].tolist()


def test_programs_are_those_of_the_texts(problems, samples):
    """The tiny policy's are stub + text by construction; of any other text `program_of` says which program it holds."""
    for n, (text, program) in enumerate(zip(samples.texts_N, samples.programs_N, strict=True)):
        assert program in (problems[n // G].stub + text, program_of(problems[n // G], text))


def test_scores_equal_the_sampling_log_probs(case, samples):
    rows = distinct(samples)
    seen = []
    for scores in case.policy.score(rows, TEMPERATURE):
        seen += scores.rows_R.tolist()
        for row, logprobs, mask in zip(scores.rows_R, scores.logprobs_RT, scores.mask_RT, strict=True):
            drawn_under = samples.logprobs_N[rows.first_R[row]]
            assert int(mask.sum()) == len(drawn_under)
            np.testing.assert_allclose(logprobs[: len(drawn_under)].numpy(), drawn_under, atol=2e-4)
            assert not logprobs[len(drawn_under) :].any()
    assert sorted(seen) == list(range(len(rows.first_R)))


@pytest.mark.parametrize("temperature", [TEMPERATURE, 1.0])
def test_gradient_equals_autograd_on_every_sample_by_itself(case, problems, samples, temperature):
    weights = np.random.default_rng(1).normal(size=len(samples.tokens_N)).astype(np.float32)
    rows = distinct(samples)
    per_row = np.zeros(len(rows.first_R), dtype=np.float32)
    np.add.at(per_row, rows.row_of_N, weights)

    parameters = case.policy.named_parameters()
    forget(parameters)
    case.policy.accumulate(
        rows, temperature, lambda s: (s.logprobs_RT.sum(1) * torch.from_numpy(per_row[s.rows_R])).sum()
    )
    shared = {name: parameter.grad.clone() for name, parameter in parameters.items()}

    forget(parameters)
    for n, tokens in enumerate(samples.tokens_N):
        log_p = (case.logits(problems[n // G], tokens[:-1].tolist()) / temperature).log_softmax(-1)
        (weights[n] * log_p[torch.arange(len(tokens)), torch.from_numpy(tokens)].sum()).backward()
    for name, parameter in parameters.items():
        scale = float(parameter.grad.abs().max())
        torch.testing.assert_close(shared[name], parameter.grad, atol=1e-4 * max(1.0, scale), rtol=1e-3)
    forget(parameters)


def test_entropy_is_that_of_the_sampling_distribution(case, problems, samples):
    rows = distinct(samples)
    for scores in case.policy.score(rows, TEMPERATURE):
        n = int(rows.first_R[scores.rows_R[0]])
        tokens = samples.tokens_N[n]
        with torch.no_grad():
            p = (case.logits(problems[n // G], tokens[:-1].tolist()) / TEMPERATURE).softmax(-1)
        expected = -(p * p.clamp_min(1e-30).log()).sum(-1)
        torch.testing.assert_close(scores.entropy_RT[0, : len(tokens)], expected, atol=1e-4, rtol=1e-3)


def test_scores_do_not_carry_gradients_and_sampling_leaves_weights_alone(case, problems, uniforms, samples):
    parameters = case.policy.named_parameters()
    before = {name: p.detach().clone() for name, p in parameters.items()}
    case.policy.sample(problems, uniforms, TEMPERATURE)
    assert not any(s.logprobs_RT.requires_grad for s in case.policy.score(distinct(samples), TEMPERATURE))
    assert all(p.grad is None and torch.equal(p, before[name]) for name, p in parameters.items())


def forget(parameters: Any) -> None:
    for parameter in parameters.values():
        parameter.grad = None
