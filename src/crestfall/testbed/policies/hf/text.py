"""Between problems and tokens: prompts on the way in; ends, texts and programs on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from crestfall.core.errors import ConfigError, InputError
from crestfall.core.types import Problem
from crestfall.grading.programs import cut, program_of
from crestfall.testbed.policies.base import IntArray

CONTEXT = 4
"""A completion is decoded behind so many tokens of its prompt: some tokenizers drop a space at the very beginning."""
TAIL = 24
"""A stop string is looked for in the last so many tokens."""


@dataclass(frozen=True)
class Text:
    """A tokenizer and what is known of the model's ways."""

    tokenizer: Any
    chat: bool
    eos: frozenset[int]
    """Every token that ends a completion."""
    pad: int
    prefill: str = ""
    stop: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        model: Any,
        prompt: Literal["auto", "chat", "plain"],
        prefill: str = "",
        stop: tuple[str, ...] = (),
    ) -> Text:
        """Raises ConfigError for a chat without a template, and for a model that names no end."""
        templated = bool(getattr(tokenizer, "chat_template", None))
        if prompt == "chat" and not templated:
            raise ConfigError("policy.prompt: 'chat' is asked for and the tokenizer has no chat template; use 'plain'")
        # The ends are all that is ever read of a generation_config: chat models name their end of turn only there.
        named = (tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id)
        eos = frozenset(
            token for ids in named if ids is not None for token in (ids if isinstance(ids, list) else [ids])
        )
        if not eos:
            raise ConfigError("policy.model: neither model nor tokenizer says which token ends a text")
        # Padding is masked wherever it stands, so any token will do.
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(eos)
        return cls(tokenizer, templated if prompt == "auto" else prompt == "chat", eos, pad, prefill, stop)

    # --- in ---

    def encode(self, problem: Problem) -> IntArray:
        """The tokens of a problem's prompt. Raises InputError for a problem that has none."""
        if self.chat:
            message = [{"role": "user", "content": self._asked(problem)}]
            text = self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
            ids = self.tokenizer(text + self._begun(problem), add_special_tokens=False)["input_ids"]
        else:
            ids = self.tokenizer(_continued(problem) + self._begun(problem))["input_ids"]
        if not ids:
            raise InputError(f"problem {problem.task_id}: its prompt has no tokens")
        return np.array(ids, dtype=np.int64)

    @staticmethod
    def _asked(problem: Problem) -> str:
        if problem.stub.strip() in problem.prompt:
            return problem.prompt
        return f"{problem.prompt.rstrip()}\n\n```python\n{problem.stub.rstrip()}\n```"

    # --- out ---

    def ended(self, problem: Problem, tokens: Sequence[int]) -> bool:
        """Whether a completion ends with its last token."""
        if tokens[-1] in self.eos:
            return True
        stop = self._stop(problem)
        return bool(stop) and cut(tail := self._decode(tokens[-TAIL:]), stop) != tail

    def text(self, prompt: IntArray, tokens: Sequence[int]) -> str:
        """Text that a completion adds to its prompt, without its end."""
        before = prompt[-CONTEXT:].tolist()
        beginning, whole = self._decode(before), self._decode([*before, *tokens])
        return whole.removeprefix(beginning) if whole.startswith(beginning) else self._decode(tokens)

    def program(self, problem: Problem, text: str) -> str:
        """The program that is graded; nothing where the text has no code."""
        return program_of(problem, self._begun(problem) + cut(text, self._stop(problem)))

    def _stop(self, problem: Problem) -> Sequence[str]:
        """Stop strings: those of the options and, except for chat answers, those with which the problem's source ends a
        continuation."""
        return self.stop if self.chat else (*self.stop, *problem.meta.get("stop", ()))

    def _begun(self, problem: Problem) -> str:
        """Text that begins every answer."""
        return self.prefill.replace("{stub}", problem.stub)

    def _decode(self, tokens: Sequence[int]) -> str:
        out: str = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return out


def _continued(problem: Problem) -> str:
    """A prompt with the stub at its end."""
    prompt, stub = problem.prompt, problem.stub
    return prompt if prompt.endswith(stub) else f"{prompt.rstrip()}\n{stub}"
