"""Supervised examples for `scratch`, drawn in a process of their own: `python -m research.gpu_check.corpus FILE SEED
COUNT`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from crestfall.cli.numbers import count
from crestfall.core.entry import guarded, script_parser
from research.warmstart.corpus import RECIPES, Corpus, Recipe, vocabulary


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.gpu_check.corpus", __doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=count())
    args = parser.parse_args(argv)
    problems = max(50, min(1500, args.count // 4))
    recipe = Recipe(seed=args.seed, problems=problems, batch=256, conventions=RECIPES["skill"].conventions)
    corpus = Corpus(recipe, vocabulary())
    examples = [pair for step in range(-(-args.count // recipe.batch)) for pair in corpus.batch(step)]
    args.file.write_text(json.dumps(examples), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
