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

from crestfall.errors import InputError
from crestfall.policies.base import FloatArray, IntArray, Rows, Samples, TokenScores
from crestfall.policies.tiny.decode import decode
from crestfall.policies.tiny.model import Prefix, Shape, TinyTransformer
from crestfall.policies.tiny.tokenizer import CODE, PAD, Tokenizer
from crestfall.types import Problem

ROWS_PER_MICROBATCH = 128


class LoadedTiny:
    """A model with its tokenizer. Deterministic for a given number of torch threads."""

    def __init__(self, model: TinyTransformer, tokenizer: Tokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def read(cls, path: Path) -> LoadedTiny:
        """Raises InputError for a file that holds no tiny policy."""
        try:
            with safe_open(path, framework="pt") as file:
                meta = json.loads(file.metadata()["crestfall"])
                model = TinyTransformer(Shape(**meta["shape"]))
                model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"{path}: not the weights of a tiny policy ({error})") from error
        return cls(model, Tokenizer(meta["vocabulary"]))

    def write(self, path: Path, about: Mapping[str, object]) -> None:
        meta = {"shape": asdict(self.model.shape), "vocabulary": self.tokenizer.vocabulary, "about": about}
        save_file(self.model.state_dict(), path, metadata={"crestfall": json.dumps(meta)})

    def named_parameters(self) -> Mapping[str, torch.nn.Parameter]:
        return dict(self.model.named_parameters())

    def sample(
        self, problems: Sequence[Problem], uniforms_PGT: FloatArray, temperature: float, greedy: bool = False
    ) -> Samples:
        with torch.inference_mode():
            prefix = self._prefix(problems)
            out = decode(self.model, prefix, torch.from_numpy(uniforms_PGT), temperature, greedy)
        lengths = out.lengths_PG.view(-1).tolist()
        tokens = [row[:n] for row, n in zip(out.tokens_PGT.flatten(0, 1).numpy(), lengths, strict=True)]
        logprobs = [row[:n] for row, n in zip(out.logprobs_PGT.flatten(0, 1).numpy(), lengths, strict=True)]
        texts = [self.tokenizer.decode(row.tolist()) for row in tokens]
        return Samples(problems, uniforms_PGT.shape[1], tokens, logprobs, out.truncated_PG.view(-1).numpy(), texts)

    def accumulate(self, rows: Rows, temperature: float, loss: Callable[[TokenScores], Tensor]) -> None:
        prefix = self._prefix(rows.samples.problems)
        # The prefix is a leaf for the microbatches; what they say of it goes back through the prompts once, at the end.
        leaves = [t.detach().requires_grad_() for t in (*prefix.keys, *prefix.values)]
        layers = len(prefix.keys)
        cut = Prefix(leaves[:layers], leaves[layers:], prefix.bias_PT, prefix.lengths_P)
        for scores in self._microbatches(rows, cut, temperature):
            loss(scores).backward()  # type: ignore[no-untyped-call]
        torch.autograd.backward([*prefix.keys, *prefix.values], [leaf.grad for leaf in leaves])

    @torch.no_grad()
    def score(self, rows: Rows, temperature: float) -> list[TokenScores]:
        return list(self._microbatches(rows, self._prefix(rows.samples.problems), temperature))

    def _prefix(self, problems: Sequence[Problem]) -> Prefix:
        return self.model.prefix(*padded([self.tokenizer.encode_spec(p.prompt) for p in problems]))

    def _microbatches(self, rows: Rows, prefix: Prefix, temperature: float) -> Iterator[TokenScores]:
        """Longest first, rows of similar length together: little padding."""
        order = np.argsort(-rows.length_R, kind="stable")
        for start in range(0, len(order), ROWS_PER_MICROBATCH):
            chosen = order[start : start + ROWS_PER_MICROBATCH]
            targets, lengths = padded([rows.samples.tokens_N[n] for n in rows.first_R[chosen]])
            inputs = torch.cat((torch.full((len(targets), 1), CODE), targets[:, :-1]), dim=1)
            logits = self.model.completions(inputs, prefix.take(torch.from_numpy(rows.problem_R[chosen])))
            log_p = (logits / temperature).log_softmax(dim=-1)
            mask = (torch.arange(targets.shape[1]) < lengths[:, None]).float()
            yield TokenScores(
                chosen,
                log_p.gather(-1, targets[..., None]).squeeze(-1) * mask,
                -(log_p.exp() * log_p).sum(dim=-1).detach() * mask,
                mask,
            )


def padded(sequences: Sequence[Sequence[int] | IntArray]) -> tuple[Tensor, Tensor]:
    """Right-padded ids [B, T] and lengths [B]."""
    lengths = [len(s) for s in sequences]
    out = np.full((len(sequences), max(lengths)), PAD, dtype=np.int64)
    for row, sequence in zip(out, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(out), torch.tensor(lengths)
