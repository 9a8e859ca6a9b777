"""pass@1 on problems that only the controller sees, by the real grader: the `evaluate` of a CrestfallCallback.

Sampling goes through the model's own `generate`, problem by problem, each from a random stream of its own: the same
weights give the same score whatever was sampled before and however many ranks share the work. With a vLLM engine at
hand a function of your own that samples there is faster.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crestfall.core.errors import ConfigError, CrestfallWarning
from crestfall.core.rng import seed_of
from crestfall.core.types import Problem
from crestfall.grading import CodeGrader
from crestfall.grading.programs import program_of
from crestfall.guard.ranks import detect, shared


class CodeEvaluation:
    """Counts of passing samples per problem, for `CrestfallCallback(evaluate=...)`.

    In a distributed run every rank samples its share of the problems; all get the whole result.

    Args:
        problems: the select set. It must not share problems with the training set or with the set that you report.
        tokenizer: the model's tokenizer.
        samples: samples per problem. Below 16 the noise of pass@1 hides falls of 10 points.
        temperature: sampling temperature; use that of training.
        max_new_tokens: token limit. Longer completions are cut off and usually fail: see `eval_truncated`.
        at_once: completions that are sampled in one batch, at least those of one problem. Where the memory does not
            suffice it is halved from then on.
        seed: seed of the samples. Every step draws others, so that its noise is independent.
        prompt: the text that the model continues; by default the problem's prompt in the tokenizer's chat template, if
            any.
        program: (problem, completion) -> source to be graded; by default `grading.programs.program_of`, as in rewards.
        grader: the grader; by default a new one with default limits. Close your own grader yourself.

    A call with (model, step) returns counts, n and `eval_truncated` for `Guard.observe`, or None if the grader itself
    failed: then nothing is known of the model.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        tokenizer: Any,
        *,
        samples: int = 16,
        temperature: float = 0.7,
        max_new_tokens: int = 512,
        at_once: int = 64,
        seed: int = 0,
        prompt: Callable[[Problem], str] | None = None,
        program: Callable[[Problem, str], str] | None = None,
        grader: CodeGrader | None = None,
    ) -> None:
        if not problems:
            raise ConfigError("CodeEvaluation: at least one problem is needed")
        self._problems, self._tokenizer = list(problems), tokenizer
        self._samples, self._temperature, self._max_new_tokens = samples, temperature, max_new_tokens
        self._together, self._seed = max(1, at_once // samples), seed
        self._prompt = prompt or self._chat
        self._program = program or program_of
        self._grader = grader or CodeGrader()

    def __call__(self, model: Any, step: int) -> Mapping[str, Any] | None:
        ranks = detect()
        mine = self._problems[ranks.rank :: ranks.size]
        texts, cut = self._sampled(model, mine, step)
        owners = [problem for problem in mine for _ in range(self._samples)]
        pairs = [(problem, self._program(problem, text)) for problem, text in zip(owners, texts, strict=True)]
        passed, infra = [0] * len(self._problems), 0
        for i, grade in enumerate(self._grader.grade_batch(pairs)):
            passed[ranks.rank + i // self._samples * ranks.size] += grade.passed
            infra += grade.ungraded
        *passed, cut, infra = map(sum, zip(*shared(ranks, [*passed, cut, infra]), strict=True))
        if infra:
            warnings.warn(
                f"step {step}: the grader failed on {infra} programs; this evaluation is left out",
                CrestfallWarning,
                stacklevel=2,
            )
            return None
        total = len(self._problems) * self._samples
        return {"select": passed, "n": self._samples, "eval_truncated": cut / total}

    def _sampled(self, model: Any, problems: Sequence[Problem], step: int) -> tuple[list[str], int]:
        """Completions of each problem in turn, and how many of them were cut off."""
        import torch

        texts, cut, start = list[str](), 0, 0
        while start < len(problems):
            some = problems[start : start + self._together]
            try:
                new, truncated = self._sample(model, some, step)
            except torch.OutOfMemoryError:
                if self._together == 1:
                    raise
                self._together = max(1, len(some) // 2)
                continue
            texts, cut, start = texts + new, cut + truncated, start + len(some)
        return texts, cut

    def _sample(self, model: Any, problems: Problem | Sequence[Problem], step: int) -> tuple[list[str], int]:
        """The same in one batch."""
        import torch

        problems = [problems] if isinstance(problems, Problem) else problems
        prompts = [self._tokenizer(self._prompt(p), add_special_tokens=False)["input_ids"] for p in problems]
        ends, width = self._ends(model), max(map(len, prompts))
        padding = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else ends[0]
        ids = torch.tensor([[padding] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
        mask = torch.tensor(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device
        )
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(seed_of("code evaluation", self._seed, step, problems[0].task_id))
            # Said in full: a model's generation_config may bring filters and penalties along.
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,  # and no token_type_ids, which most decoders refuse
                do_sample=True,
                temperature=self._temperature,
                top_p=1.0,
                top_k=0,
                repetition_penalty=1.0,
                num_return_sequences=self._samples,
                max_new_tokens=self._max_new_tokens,
                pad_token_id=padding,
                use_cache=True,
            )
        new = out[:, width:]
        ended = torch.isin(new, torch.tensor(ends, device=new.device)).any(dim=1)
        return self._tokenizer.batch_decode(new, skip_special_tokens=True), int((~ended).sum())

    def _ends(self, model: Any) -> list[int]:
        """Tokens that end a completion: the tokenizer's, and those at which the model's `generate` stops."""
        ends = getattr(model.generation_config, "eos_token_id", None)
        known = [*(ends if isinstance(ends, list) else [ends]), self._tokenizer.eos_token_id]
        return [token for token in known if token is not None]

    def _chat(self, problem: Problem) -> str:
        if not getattr(self._tokenizer, "chat_template", None):
            return problem.prompt
        message = [{"role": "user", "content": problem.prompt}]
        text: str = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        return text
