"""Supervised examples for `scratch`, drawn in a process of their own: corpus FILE SEED COUNT."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from research.warmstart import Corpus, Recipe, vocabulary


def main() -> None:
    file, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    recipe = Recipe(seed=seed, problems=max(50, min(1500, count // 4)))
    corpus = Corpus(recipe, vocabulary())
    examples = [pair for step in range(-(-count // recipe.batch)) for pair in corpus.batch(step)]
    file.write_text(json.dumps(examples), encoding="utf-8")


if __name__ == "__main__":
    main()
