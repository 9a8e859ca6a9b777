"""CodeGrader as the reward of OpenRLHF, of verifiers (prime-rl) and of SkyRL. Ground truths stand where those projects
keep them, in any of the shapes of `grading.problems.truth`.

OpenRLHF: `--remote_rm_url .../adapters.py --label_key ground_truth`: it calls `reward_func`.
verifiers: `vf.Rubric(funcs=[code_reward])`.
SkyRL: `register(id="crestfall", entry_point="crestfall.guard.adapters:CodeEnv")`, and rows with `env_class: crestfall`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crestfall.core.errors import InputError
from crestfall.guard.ground_truths import grades_of

if TYPE_CHECKING:
    _Env = object
else:
    try:
        from skyrl_gym.envs.base_text_env import BaseTextEnv as _Env
    except ImportError:
        _Env = object

_TRUTHS = ("ground_truth", "verification_info")
_TESTS = ("tests", "test_cases", "input_output", "inputs", "test")


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **_: Any) -> dict[str, Any]:
    """OpenRLHF's reward: for each query (a prompt with its response) 1.0 or 0.0, as {"rewards", "scores", "extra_logs"}
    of tensors.

    Raises InputError: a label that is no ground truth.
    """
    import torch

    responses = [_behind(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    grades = grades_of(labels, responses, ["OpenRLHF"] * len(responses))
    rewards = torch.tensor([float(grade.passed) for grade in grades])
    faults = torch.tensor([float(grade.ungraded) for grade in grades])
    return {"rewards": rewards, "scores": rewards, "extra_logs": {"passed": rewards, "ungraded": faults}}


def _behind(query: str, prompt: str) -> str:
    """The response of a query. Decoding may have changed a prompt's ends, never its middle."""
    if query.startswith(prompt):
        return query[len(prompt) :]
    return query.partition(prompt.strip())[2] if prompt.strip() in query else query


async def code_reward(completion: Any, answer: Any = "", info: Any = None, **_: Any) -> float:
    """verifiers' reward: 1.0 if the program in a completion (text or messages) passes the tests of `info` (under
    `ground_truth`, `verification_info`, `tests`, ...) or, without such, of `answer`.

    Raises InputError: neither holds a ground truth.
    """
    if isinstance(info, str) and info.strip():
        info = json.loads(info)
    truth = _truth_in(info) or answer
    if not truth:
        raise InputError("verifiers: neither info nor answer holds a ground truth")
    grades = await asyncio.to_thread(grades_of, [truth], [completion], ["verifiers"])
    return float(grades[0].passed)


def _truth_in(info: Any) -> Any:
    if not isinstance(info, Mapping):
        return None
    inner = next((info[name] for name in _TRUTHS if info.get(name) is not None), None)
    return inner or (info if any(info.get(name) is not None for name in _TESTS) else None)


class CodeEnv(_Env):
    """SkyRL's environment of one turn: the action is an answer, the reward 1.0 or 0.0.

    Args:
        extras: the row's fields; `reward_spec` (or `reward_model`) has `ground_truth`.

    Raises InputError: no ground truth there.
    """

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        spec = next((extras[name] for name in ("reward_spec", "reward_model") if extras and extras.get(name)), None)
        if not isinstance(spec, Mapping) or spec.get("ground_truth") is None:
            raise InputError("SkyRL: the row has no reward_spec with a ground_truth")
        self._truth = spec["ground_truth"]

    def init(self, prompt: Any) -> tuple[Any, dict[str, Any]]:
        """The prompt as it is, and no more to say of it."""
        return prompt, {}

    def step(self, action: str) -> dict[str, Any]:
        """The end of the episode: {"observations", "reward", "done", "metadata"}."""
        grade = grades_of([self._truth], [action], ["SkyRL"])[0]
        metadata = {"verdict": grade.verdict.value, "detail": grade.detail}
        return {"observations": [], "reward": float(grade.passed), "done": True, "metadata": metadata}

    def close(self) -> None:
        """Do nothing: no resource is held."""
