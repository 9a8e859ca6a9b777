"""Every script that can be started with `python -m`: without the libraries of the extras, with words that it does not
know and with files that are not there, it says one line and ends with 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
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

ENV = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ["PYTHONPATH"]])}

# Each script in a process of its own, forked from one that has imported what all need: numpy, pydantic, crestfall.core.
EACH = """
import contextlib, importlib.abc, json, os, runpy, sys
commands, missing = json.loads(sys.argv[1])
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import numpy, pydantic, crestfall.core.entry
for number, words in enumerate(commands):
    if os.fork() == 0:
        for stream in (1, 2):
            os.dup2(os.open(f"{number}.{stream}", os.O_WRONLY | os.O_CREAT), stream)
        os.mkdir(f"{number}.d")
        os.chdir(f"{number}.d")
        sys.argv = words
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def wrong(cwd: Path, commands: list[list[str]], missing: Iterable[str] = ()) -> dict[str, object]:
    """What these scripts did that did not end in one line on stderr, exit code 2, and nothing written."""
    words = [sys.executable, "-c", EACH, json.dumps([commands, sorted(missing)])]
    done = subprocess.run(words, cwd=cwd, env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    found: dict[str, object] = {}
    for number, (command, code) in enumerate(zip(commands, done.stdout.split(), strict=True)):
        out, err = ((cwd / f"{number}.{stream}").read_text() for stream in (1, 2))
        files = os.listdir(cwd / f"{number}.d")
        if (code, out, err.count("\n"), files) != ("2", "", 1, []) or not err.startswith("crestfall: "):
            found[command[0]] = (code, out, err, files)
    return found


# What gets a script as far as its work, where no words at all do not.
WORDS = {
    "crestfall": ["run", "chain"],
    "crestfall.cli.main": ["study", "quickstart"],
    "crestfall.cli.cell": ["r", "1"],
    "research.advice": ["s", "--out", "o"],
    "research.batch": ["s"],
    "research.best_stop": ["s"],
    "research.early_warning": ["s", "--out", "o"],
    "research.early_warning.forks": ["s", "--seeds", "1", "--out", "o"],
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


def test_which_words_get_a_script_to_its_work_is_known() -> None:
    assert set(SCRIPTS) == set(WORDS)


def test_without_extras_each_is_one_line(tmp_path: Path) -> None:
    assert wrong(tmp_path, [[name, *words] for name, words in WORDS.items()], EXTRA_OF) == {}


def test_words_that_it_does_not_know_are_one_line(tmp_path: Path) -> None:
    assert wrong(tmp_path, [[name, "--no-such-option"] for name in SCRIPTS]) == {}


@pytest.mark.slow  # they import torch before they look
def test_files_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    assert wrong(tmp_path, [[name, *WORDS[name]] for name in READERS]) == {}
