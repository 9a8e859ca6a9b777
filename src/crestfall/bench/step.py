"""One training step of the tiny policy: crestfall against TRL's GRPOTrainer, and against the machine's own rate.

Both sides start from the same weights (TRL's as a transformers model with the same function), take the same problems,
write completions of the same forced length, and are graded by the same grader. TRL runs at several microbatch sizes and
is credited with its best. crestfall's step includes everything that it records.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from crestfall.core.types import Problem, Verdict
from crestfall.grading import CodeGrader
from crestfall.testbed.config import CampaignConfig, RunConfig
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.tiny.policy import LoadedTiny
from crestfall.testbed.policies.tiny.tokenizer import EOS

LENGTH = 24  # tokens of every completion: the mean of what the policy writes for the default levels, and its EOS
WIDTHS = (10, 50)  # problems in a step
ROUNDS = 2
REPEATS = 3  # steps of each in a round, after one that warms up
LEARNING_RATE = 1e-5  # small: every repetition does the same work


@dataclass(frozen=True)
class Timing:
    """Seconds of every step of `problems` x `group` samples, the warm-up steps not among them."""

    peer: str
    problems: int
    group: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)


def run(threads: int = 2) -> dict[str, Any]:
    """Rows of peer, seconds (median, and the fastest and slowest step), samples per second and ratio (the peer's median
    over ours), for each width; the floor. Peers take turns, so that what else the machine does falls on all of them."""
    torch.set_num_threads(threads)
    rows: list[dict[str, Any]] = []
    for problems in WIDTHS:
        timings = interleaved(problems)
        ours = timings[0].median
        rows += [
            {
                "peer": t.peer,
                "problems": problems,
                "seconds": round(t.median, 3),
                "fastest": round(min(t.seconds), 3),
                "slowest": round(max(t.seconds), 3),
                "per_second": round(problems * t.group / t.median, 1),
                "ratio": round(t.median / ours, 2),
            }
            for t in timings
        ]
    return {"step": rows, "floor": floor(threads)}


def interleaved(problems: int) -> list[Timing]:
    """crestfall first, then TRL's microbatches; one round after the other."""
    collected: dict[str, Timing] = {}
    for _ in range(ROUNDS):
        for timing in (time_crestfall(problems), *time_trl(problems)):
            known = collected.get(timing.peer)
            seconds = timing.seconds if known is None else known.seconds + timing.seconds
            collected[timing.peer] = replace(timing, seconds=seconds)
    return list(collected.values())


def _config(problems: int) -> RunConfig:
    campaign = CampaignConfig(problems_per_step=problems)
    return replace(RunConfig(), campaign=campaign, update=replace(RunConfig().update, learning_rate=LEARNING_RATE))


def _forced(policy: LoadedTiny) -> LoadedTiny:
    """The policy unable to end a completion: all have the length of the limit."""
    policy.model.get_buffer("never")[EOS] = -1e9
    return policy


@contextlib.contextmanager
def engine(config: RunConfig, forced: bool) -> Iterator[NativeEngine]:
    policy = config.policy.load()
    with CodeGrader(config.grader) as grader:
        made = NativeEngine(_forced(policy) if forced else policy, config.update, config.tasks, grader, config)
        if forced:
            made.max_tokens = LENGTH
        made.begin_campaign(0)
        yield made


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def time_crestfall(problems: int) -> Timing:
    """Rollout, grading and update, with all that is recorded; the first step warms up and is not counted."""
    config = _config(problems)
    train = config.tasks.campaign(0, 0, config.campaign.sizes).train[:problems]
    seconds = []
    with engine(config, forced=True) as made:
        for step in range(REPEATS + 1):
            start = time.perf_counter()
            made.update(made.rollout(train, 0, step))
            seconds.append(time.perf_counter() - start)
    return Timing("crestfall", problems, config.campaign.group_size, tuple(seconds[1:]))


def time_trl(problems: int) -> list[Timing]:
    """GRPOTrainer at microbatches of a quarter, a half and all of the samples."""
    config = _config(problems)
    train = config.tasks.campaign(0, 0, config.campaign.sizes).train[:problems]
    out = []
    for parts in (4, 2, 1):
        seconds = _trl_steps(config, train, parts)
        size = problems * config.campaign.group_size // parts
        out.append(Timing(f"trl, microbatch {size}", problems, config.campaign.group_size, tuple(seconds[1:])))
        gc.collect()
    return out


def _trl_steps(config: RunConfig, train: Sequence[Problem], parts: int) -> list[float]:
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from crestfall.testbed.policies.tiny.convert import prompt_text, to_tokenizer, to_transformers

    policy = config.policy.load()
    by_prompt = {prompt_text(problem): problem for problem in train}
    seconds: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.start = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.perf_counter() - self.start)

    group, temperature = config.campaign.group_size, config.campaign.temperature
    with CodeGrader(config.grader) as grader, tempfile.TemporaryDirectory() as scratch:

        def reward(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
            problems = [by_prompt[prompt] for prompt in prompts]
            grades = grader.grade_batch([(p, p.stub + text) for p, text in zip(problems, completions, strict=True)])
            return [float(grade.verdict is Verdict.PASSED) for grade in grades]

        trainer = GRPOTrainer(
            model=to_transformers(policy),
            processing_class=to_tokenizer(policy.tokenizer),
            reward_funcs=reward,
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in by_prompt]),
            callbacks=[Clock()],
            args=GRPOConfig(
                output_dir=scratch,
                per_device_train_batch_size=len(train) * group // parts,
                gradient_accumulation_steps=parts,
                num_generations=group,
                max_completion_length=LENGTH,
                generation_kwargs={"min_new_tokens": LENGTH},
                temperature=temperature,
                max_steps=REPEATS + 1,
                learning_rate=LEARNING_RATE,
                beta=0.0,
                loss_type="dr_grpo",
                scale_rewards="none",
                gradient_checkpointing=False,
                bf16=False,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
        )
        with contextlib.redirect_stdout(sys.stderr):  # it prints its own report, and ours may have to be JSON
            trainer.train()
    return seconds


# --- the floor ---


def floor(threads: int) -> dict[str, float]:
    """Seconds that the matrix products of a whole step (50 x 16, evaluation included) take at the machine's own rate.

    Counted for every sample by itself, as if none were shared: 2 FLOP per weight and token for a forward pass (each
    token sampled, trained on, compared), 4 more for a backward pass, prompts once per problem and pass; attention's
    products with 4 FLOP per layer, channel and token looked at. What is left out: all that is no matrix product
    (norms, softmax, sampling, Adam), and the grader, which runs in processes of its own and whose seconds stand beside.
    The rate is the best of the policy's widest layer at 2048 rows, measured before and after. `share` is the floor's
    time over the whole step's, `share_ungraded` over what is left of it without the waiting for grades.
    """
    config = RunConfig()
    sets = config.tasks.campaign(0, 0, config.campaign.sizes)
    held_out = [*sets.select, *sets.report]
    width = config.policy.load().model.shape.width
    rate = matmul_rate(width)
    runs = []
    with engine(config, forced=False) as made, _clocked(made.grader) as graded:
        for step in range(REPEATS + 1):
            start, waited = time.perf_counter(), graded.seconds
            rollouts = made.rollout(sets.train, 0, step)
            made.update(rollouts)
            for part in (sets.select, sets.report):
                made.evaluate(part, config.campaign.eval_samples, ("floor", step, part[0].task_id))
            seconds = time.perf_counter() - start
            runs.append((seconds, graded.seconds - waited, _flop(made, rollouts.handle.tokens_N, sets.train, held_out)))
    rate = max(rate, matmul_rate(width))
    measured, waiting, flop = sorted(runs[1:])[REPEATS // 2]  # the first step warms up
    return {
        "threads": threads,
        "gflop": round(flop / 1e9, 1),
        "matmul_gflops": round(rate / 1e9, 1),
        "floor_seconds": round(flop / rate, 3),
        "step_seconds": round(measured, 3),
        "grading_seconds": round(waiting, 3),
        "share": round(flop / rate / measured, 3),
        "share_ungraded": round(flop / rate / (measured - waiting), 3),
    }


@dataclass
class _Clock:
    seconds: float = 0.0


@contextlib.contextmanager
def _clocked(grader: CodeGrader) -> Iterator[_Clock]:
    """Adds up how long the engine waits for grades."""
    clock, grade_batch = _Clock(), grader.grade_batch

    def timed(pairs: Any) -> Any:
        start = time.perf_counter()
        try:
            return grade_batch(pairs)
        finally:
            clock.seconds += time.perf_counter() - start

    grader.grade_batch = timed  # type: ignore[method-assign,assignment]
    yield clock


def _flop(made: NativeEngine, tokens_N: Sequence[Any], train: Sequence[Problem], held_out: Sequence[Problem]) -> float:
    """Floating-point operations of one step. Completions of the evaluation are taken to be as long as those of the
    rollout."""
    policy = made.policy
    assert isinstance(policy, LoadedTiny)
    shape = policy.model.shape
    weights = sum(parameter.numel() for parameter in made.parameters.values())
    prompt, prompt_held_out = (
        sum(len(policy.tokenizer.encode_spec(problem.prompt)) for problem in problems) for problems in (train, held_out)
    )
    trained = sum(len(tokens) for tokens in tokens_N)
    mean = trained / len(tokens_N)
    evaluated = len(held_out) * 17 * mean
    references = 1 if made.start is made.base else 2
    measured = trained / 4  # drift and distances are measured on a quarter of the samples
    passes = (
        (1, trained, prompt),  # the rollout
        (1, evaluated, prompt_held_out),
        (3, trained, prompt),  # the update: backward is twice forward
        (3, measured, prompt),  # the drift
        (references, measured, prompt),
    )
    context = prompt / len(train) + mean / 2
    per_completion = 2 * weights + 4 * shape.layers * shape.width * context
    per_prompt = 2 * weights + 4 * shape.layers * shape.width * (prompt / len(train)) / 2
    return sum(times * (tokens * per_completion + read * per_prompt) for times, tokens, read in passes)


def matmul_rate(weights_width: int, rows: int = 2048) -> float:
    """FLOP/s of torch's matrix product in the shape of the policy's widest layer, the best of several."""
    a, b = torch.randn(rows, weights_width), torch.randn(weights_width, 4 * weights_width)
    best = float("inf")
    for _ in range(50):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * rows * weights_width * 4 * weights_width / best
