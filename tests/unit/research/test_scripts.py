"""Every script that can be started with `python -m`: without the libraries of the extras, with words that it does not
know and with files that are not there, it says one line and ends with 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crestfall.core.extras import EXTRA_OF

ROOT = Path(__file__).parents[3]


def scripts() -> list[str]:
    """Modules that do something when they are started: of research/, and of crestfall."""
    found = []
    for base in (ROOT, ROOT / "src"):
        for file in sorted((base / ("research" if base == ROOT else "crestfall")).rglob("*.py")):
            if '\nif __name__ == "__main__":' in file.read_text(encoding="utf-8"):
                found.append(".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__main__"))
    return found


# The grader's worker, started by its path alone: it has no command line.
SCRIPTS = [name for name in scripts() if name != "crestfall.grading.sandbox"]
READERS = [name for name in SCRIPTS if name.startswith("research") and name != "research.gpu_check"]

START = """
import importlib.abc, runpy, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
sys.argv = {words}
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def started(cwd: Path, *words: str, missing: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    code = START.format(missing=missing, words=list(words))
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ["PYTHONPATH"]])}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


# What gets a script as far as its work, where no words at all do not.
WORDS = {
    "crestfall": ["run", "chain"],
    "crestfall.cli.main": ["study", "quickstart"],
    "crestfall.cli.cell": ["r", "1"],
    "research.advice": ["s", "--out", "o"],
    "research.batch": ["s"],
    "research.best_stop": ["s"],
    "research.figures": ["regime", "s", "o"],
    "research.figures.llm": ["s", "--out", "o"],
    "research.figures.regimes": ["s", "--out", "o"],
    "research.figures.screens": ["live", "s", "--events", "1", "--out", "o"],
    "research.figures.skill": ["s", "--out", "o"],
    "research.gpu_check": ["--out", "o", "--rehearse"],
    "research.gpu_check.corpus": ["nowhere/o", "0", "1"],
    "research.guard_cost": [],
    "research.labelled": ["s"],
    "research.llm": ["s"],
    "research.llm_profile": ["s"],
    "research.paper": ["s", "--out", "o"],
    "research.regret": ["s", "--out", "o"],
    "research.skill": ["s"],
    "research.smollm2": ["/dev/null/x"],
    "research.warmstart": ["/dev/null/o"],
    "research.families": ["nowhere.md"],
    "research.simulate": ["--each", "0"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_extras_it_is_one_line(script: str, tmp_path: Path) -> None:
    assert script in WORDS, "a new script: which words get it to its work?"
    done = started(tmp_path, script, *WORDS[script], missing=tuple(sorted(EXTRA_OF)))
    assert done.stderr.startswith("crestfall: "), done.stderr
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_words_that_it_does_not_know_are_one_line(script: str, tmp_path: Path) -> None:
    done = started(tmp_path, script, "--no-such-option")
    assert done.stderr.startswith("crestfall: "), done.stderr
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")


@pytest.mark.slow  # they import torch before they look
@pytest.mark.parametrize("script", READERS)
def test_files_that_are_not_there_are_one_line(script: str, tmp_path: Path) -> None:
    done = started(tmp_path, script, *WORDS[script])
    assert done.stderr.startswith("crestfall: "), done.stderr
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert os.listdir(tmp_path) == []
