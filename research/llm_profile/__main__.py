"""Compare the cost of sampling and of an update with `transformers.generate` and a plain loop, on one model in one run.

    python -m research.llm_profile models/smollm2 [--threads 2] [--problems 4] [--group 8] [--tokens 48] [--lora 16]

The peers are plain implementations: every sample computes its prompt, and the update has the logits of all tokens. The
completions differentiated are the same for both.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crestfall.cli.numbers import count
from crestfall.core.entry import guarded, script_parser
from research.smollm2 import GGUF


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.llm_profile", __doc__)
    parser.add_argument("model", type=Path)
    for name, value in (("threads", 2), ("problems", 4), ("group", 8), ("tokens", 48), ("lora", 16)):
        parser.add_argument(f"--{name}", type=count(0 if name == "lora" else 1), default=value)
    args = parser.parse_args(argv)
    import torch

    from crestfall.testbed.policies.hf import HfPolicy, Lora
    from research.llm_profile.compare import compare

    torch.set_num_threads(args.threads)
    lora = Lora(rank=args.lora) if args.lora else None
    options: dict[str, Any] = {"prompt": "chat", "max_tokens": args.tokens, "lora": lora}
    policy = HfPolicy(model=str(args.model), gguf_file=GGUF, tokens_per_microbatch=512, sampled_tokens=8192, **options)
    for name, rate in compare(policy.load(), args.problems, args.group, args.tokens).items():
        print(f"{name}: {rate:.0f} tokens a second")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
