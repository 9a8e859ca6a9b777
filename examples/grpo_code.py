"""GRPO on code with TRL: crestfall's grader is the reward, its callback watches problems that nobody trains on.

    python -m research.smollm2 models                       # SmolLM2-135M-Instruct, 98 MB
    python examples/easy_problems.py easy.jsonl
    python examples/grpo_code.py models/smollm2 easy.jsonl --gguf-file SmolLM2-135M-Instruct.Q4_1.gguf

Of the problems, 16 are for the controller, 16 for the report, and the others are trained on. `--control none` shows
what happens without control.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crestfall.core.entry import guarded, needs

needs("torch", "transformers", "datasets", "trl")

import torch
import transformers
import trl
from datasets import Dataset

from crestfall import CodeEvaluation, CodeGrader, CrestfallCallback
from crestfall.grading.problems.formats import load_problems
from crestfall.guard.rewards import trl_reward


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a folder or a name that transformers loads")
    parser.add_argument("problems", type=Path, help="problems in any format that crestfall grade reads")
    parser.add_argument("--gguf-file", help="where the model is a GGUF: its file")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--control", default="early_stop", help="a controller (crestfall list controllers), or none")
    parser.add_argument("--pace", help="kl or norm: keep every step at one size")
    parser.add_argument("--held-out", type=int, default=16, help="problems for the controller, and as many to report")
    return parser.parse_args()


def main() -> int:
    asked = options()
    tokenizer = transformers.AutoTokenizer.from_pretrained(asked.model, gguf_file=asked.gguf_file)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        asked.model, gguf_file=asked.gguf_file, dtype=torch.float32
    )
    model.is_quantized = False  # transformers trains no quantised model, and has made floats of a GGUF's weights
    problems = load_problems(asked.problems)
    random.Random(0).shuffle(problems)  # neighbours in a file are often alike
    select, report, train = (problems[i * asked.held_out :] for i in range(3))
    select, report = select[: asked.held_out], report[: asked.held_out]

    with CodeGrader() as grader:
        sampling = {"samples": 4, "temperature": 1.0, "max_new_tokens": 64, "grader": grader}
        select_score, report_score = (CodeEvaluation(held_out, tokenizer, **sampling) for held_out in (select, report))

        def evaluate(model: transformers.PreTrainedModel, step: int) -> Mapping[str, Any] | None:
            score = select_score(model, step)
            print(f"step {step:2}  select {mean(score):.1%}", flush=True)
            return score

        callback = CrestfallCallback(control=asked.control, evaluate=evaluate, pace=asked.pace)
        config = trl.GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            max_steps=asked.steps,
            per_device_train_batch_size=8,  # completions that are differentiated at once
            gradient_accumulation_steps=4,  # 4 problems x 8 samples a step
            num_generations=8,
            max_completion_length=64,
            learning_rate=asked.learning_rate,
            lr_scheduler_type="constant",
            beta=0.0,
            bf16=False,
            gradient_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=trl_reward(train, grader),
            args=config,
            train_dataset=Dataset.from_list([{"prompt": chat(p.prompt), "task_id": p.task_id} for p in train]),
            processing_class=tokenizer,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        callback.attach(trainer)
        report_before = mean(report_score(trainer.model.eval(), 0))
        trainer.train()
        report_after = mean(report_score(trainer.model.eval(), asked.steps))
        print(f"final weights: step {callback.decision.target_step}; {callback.decision.reason}")
        print(f"report {report_before:.1%} before training, {report_after:.1%} with the final weights")
    return 0


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def mean(score: Mapping[str, Any] | None) -> float:
    """pass@1 over all samples; NaN where the grader failed."""
    return sum(score["select"]) / (score["n"] * len(score["select"])) if score else math.nan


if __name__ == "__main__":
    raise SystemExit(guarded(main))
