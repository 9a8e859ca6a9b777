"""The tiny policy as a component: loads warm-started weights; samples, scores and differentiates completions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from crestfall.core.errors import InputError
from crestfall.core.types import Problem
from crestfall.testbed.policies.base import FloatArray, IntArray, Rows, Samples, TokenScores
from crestfall.testbed.policies.size import ModelSize
from crestfall.testbed.policies.tiny.decode import decode
from crestfall.testbed.policies.tiny.folded import fold
from crestfall.testbed.policies.tiny.model import Shape, TinyTransformer
from crestfall.testbed.policies.tiny.tokenizer import PAD, Tokenizer
from crestfall.testbed.policies.tiny.tree import grow, score
from crestfall.testbed.policies.tiny.weights import header

PROBLEMS_AT_A_TIME = 64
"""Sampled together: bounds the memory that keys and values take (a policy that never ends takes 150 MB)."""

TOKENS_PER_MICROBATCH = 2048
_LARGE_GROUP = 64  # completions of one problem, for bounds
"""Scored together, of completions: enough for the matrix products, little enough for the CPU's cache."""


class LoadedTiny:
    """A model with its tokenizer. Deterministic for a given number of torch threads."""

    def __init__(self, model: TinyTransformer, tokenizer: Tokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def read(cls, path: Path) -> LoadedTiny:
        """Raises InputError for a file that holds no tiny policy."""
        meta = header(path)
        try:
            with safe_open(path, framework="pt") as file:
                model = TinyTransformer(Shape(**meta["shape"]))
                model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"{path}: not the weights of a tiny policy ({reason})") from error
        return cls(model, Tokenizer(meta["vocabulary"]))

    def write(self, path: Path, about: Mapping[str, object]) -> None:
        meta = {"shape": asdict(self.model.shape), "vocabulary": self.tokenizer.vocabulary, "about": about}
        save_file(
            {name: value.cpu() for name, value in self.model.state_dict().items()},
            path,
            metadata={"crestfall": json.dumps(meta)},
        )

    @property
    def device(self) -> torch.device:
        return self.model.embed.weight.device

    def named_parameters(self) -> Mapping[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        with torch.inference_mode():
            weights = fold(self.model, temperature)
        prompts = [self.tokenizer.encode_spec(p.prompt) for p in problems]
        tokens, logprobs, truncated = [], [], []
        for start in range(0, len(problems), PROBLEMS_AT_A_TIME):
            part = slice(start, start + PROBLEMS_AT_A_TIME)
            out = decode(weights, prompts[part], uniforms_PGT[part], greedy)
            lengths = (out.tokens_NT != PAD).sum(axis=1)
            tokens += [row[:n] for row, n in zip(out.tokens_NT, lengths, strict=True)]
            logprobs += [row[:n] for row, n in zip(out.logprobs_NT, lengths, strict=True)]
            truncated.append(out.truncated_N)
        texts = [self.tokenizer.decode(row.tolist()) for row in tokens]
        return Samples(problems, uniforms_PGT.shape[1], tokens, logprobs, np.concatenate(truncated), texts)

    def accumulate(self, rows: Rows, temperature: float, loss: Callable[[TokenScores], Tensor]) -> None:
        for scores in self._microbatches(rows, temperature):
            loss(scores).backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def score(self, rows: Rows, temperature: float) -> list[TokenScores]:
        return list(self._microbatches(rows, temperature))

    def _microbatches(self, rows: Rows, temperature: float) -> Iterator[TokenScores]:
        """Whole problems together, those with long completions first."""
        for chosen in _parts(rows):
            problems, problem_R = np.unique(rows.problem_R[chosen], return_inverse=True)
            prompts = [self.tokenizer.encode_spec(rows.samples.problems[p].prompt) for p in problems]
            tree = grow(prompts, problem_R, [rows.samples.tokens_N[n] for n in rows.first_R[chosen]])
            logprobs_RT, entropy_RT = score(fold(self.model, temperature), tree.to(self.device))
            yield TokenScores(chosen, logprobs_RT.cpu(), entropy_RT.cpu(), tree.mask_RT)


def _parts(rows: Rows) -> Iterator[IntArray]:
    """Rows cut into microbatches: whole problems, those with long completions first, equal beginnings together."""
    tokens_R = [rows.samples.tokens_N[n] for n in rows.first_R]
    length_R, problem_R = rows.length_R, rows.problem_R
    longest_P = np.zeros(len(rows.samples.problems), dtype=np.int64)
    np.maximum.at(longest_P, problem_R, length_R)
    # Bytes sort equal beginnings together, which is all that is asked of the order.
    order = sorted(range(len(tokens_R)), key=lambda r: (-longest_P[problem_R[r]], problem_R[r], tokens_R[r].tobytes()))
    part: list[int] = []
    for r in order:
        if part and length_R[part].sum() >= TOKENS_PER_MICROBATCH and problem_R[r] != problem_R[part[-1]]:
            yield np.array(part)
            part = []
        part.append(r)
    yield np.array(part)


def size_of(path: Path, max_tokens: int) -> ModelSize:
    """Raises InputError for a file that holds no tiny policy."""
    model = LoadedTiny.read(path).model
    shape, parameters = model.shape, sum(p.numel() for p in model.parameters())
    together = TOKENS_PER_MICROBATCH + _LARGE_GROUP * max_tokens  # a problem's completions are not torn apart
    # Per layer: residual streams and their norms, qkv rotated and not, the attention's output, the MLP twice.
    saved = 4 * shape.layers * 21 * shape.width
    return ModelSize(
        parameters=parameters,
        trainable=parameters,
        weight_bytes=parameters * 4,
        cast_bytes=0,
        value_bytes=4,
        cache=2 * shape.layers * shape.width,
        saved_bytes=saved,
        vocabulary=shape.vocabulary,
        sampled_together=None,
        trained_together=together,
        logits_together=together * shape.vocabulary,
    )
