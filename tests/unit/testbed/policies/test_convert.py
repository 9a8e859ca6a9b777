"""The transformers twin of the tiny policy computes the same."""

from __future__ import annotations

import pytest
import torch

from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from crestfall.testbed.policies.tiny.tokenizer import CODE, PAD
from crestfall.testbed.policies.tiny.tree import padded
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin
from research.warmstart.corpus import vocabulary

pytest.importorskip("transformers")
pytestmark = pytest.mark.hf


def test_logits_and_tokens_agree():
    from crestfall.testbed.policies.tiny.convert import prompt_text, to_tokenizer, to_transformers

    tokenizer = vocabulary()
    model = TinyTransformer(Shape(len(tokenizer), width=32, layers=2, heads=2))
    model.initialise(torch.Generator().manual_seed(3))
    with torch.no_grad():
        model.embed.weight.mul_(8.0)
    policy = LoadedTiny(model, tokenizer)
    problem = Builtin(levels=(2,)).campaign(0, 0, Sizes(1, 1, 1)).train[0]
    prompt = tokenizer.encode_spec(problem.prompt)
    completion = tokenizer.encode_code(problem.reference.removeprefix(problem.stub))

    twin, reader = to_transformers(policy).eval(), to_tokenizer(tokenizer)
    assert reader(prompt_text(problem))["input_ids"] == [*prompt, CODE]
    assert reader.decode(completion) == tokenizer.decode(completion)
    with torch.no_grad():
        theirs = twin(torch.tensor([[*prompt, CODE, *completion]])).logits[0, len(prompt) :]
        ours = model.completions(torch.tensor([[CODE, *completion]]), model.prefix(*padded([prompt])))[0]
    known = torch.arange(len(tokenizer)) != PAD
    torch.testing.assert_close(ours[:, known], theirs[:, known], atol=2e-4, rtol=1e-4)
