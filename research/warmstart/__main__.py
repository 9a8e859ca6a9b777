"""Make the tiny policy's warm-started weights: supervised, on problems of the warm pool alone.

python -m research.warmstart OUT.safetensors
python -m research.warmstart OUT.safetensors --recipe skill

`conventions` makes the weights of the demo, which know several ways to answer. `skill` goes on from these, for 40 steps
on programs that all end with `return`: there is no convention left to learn (docs/skill.md).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from crestfall.cli.numbers import count
from crestfall.core.entry import guarded, script_parser
from crestfall.store.files import check_writable


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.warmstart", __doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--recipe", choices=("conventions", "skill"), default="conventions")
    parser.add_argument("--threads", type=count(1, 256), default=1)
    args = parser.parse_args(argv)
    check_writable(args.out.parent)
    import torch

    from research.warmstart.corpus import RECIPES
    from research.warmstart.train import train

    torch.set_num_threads(args.threads)
    recipe = RECIPES[args.recipe]
    print(json.dumps(asdict(recipe)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    train(recipe).write(args.out, {**asdict(recipe), "threads": args.threads, "torch": torch.__version__})
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
