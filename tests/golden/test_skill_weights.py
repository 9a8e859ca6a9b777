"""The weights of the skill testbed: they load, they are what their recipe says, they write what they wrote."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from crestfall.core.types import CallTests, Problem
from crestfall.testbed.policies.tiny import TinyPolicy
from crestfall.testbed.policies.tiny.weights import header, vocabulary
from research.warmstart.corpus import RECIPES

FILE = Path(__file__).parents[2] / "src" / "crestfall" / "testbed" / "policies" / "tiny" / "skill.safetensors"
WRITTEN = {
    "for text x : reverse the text ; next capital letters": "\n    x = x[::-1]\n    return x.upper()",
    "given a number : add 4 , and multiply by 3": "\n    x = x + 4\n    return x * 3",
}


def test_the_file_is_small_and_names_its_recipe() -> None:
    assert FILE.stat().st_size < 2_000_000
    about = header(FILE)["about"]
    recipe = asdict(RECIPES["skill"])
    assert {key: tuple(v) if isinstance(v := about[key], list) else v for key in recipe} == recipe
    assert vocabulary(FILE) == vocabulary(FILE.with_name("weights.safetensors"))


def test_what_it_writes_ends_with_return() -> None:
    torch.set_num_threads(1)
    policy = TinyPolicy(weights="skill").load()
    problems = [Problem(prompt, prompt, CallTests("f", ()), prompt, "def f(x):") for prompt in WRITTEN]
    uniforms = np.zeros((len(problems), 1, 64), dtype=np.float32)
    assert policy.sample(problems, uniforms, 0.7, greedy=True).texts_N == list(WRITTEN.values())
