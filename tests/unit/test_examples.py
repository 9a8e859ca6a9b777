"""Every example runs as it stands, is short, and says what it should."""

import subprocess
import sys
from pathlib import Path

import pytest

import tiny_hf
from crestfall.core.extras import EXTRA_OF

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS = {
    "guard_pytorch.py": "Adam's step counter",
    "guard_trl.py": "final weights: step",
    "grpo_code.py": "with the final weights",
    "guard_verl.py": "past the peak",
    "guard_beside.py": "go on from step 20",
    "guard_openrlhf.py": "next time from global_step40",
    "analyze_foreign_log.py": "rise_and_collapse",
    "easy_problems.py": "150 problems",
    "own_controller.py": "acted at step 4",
    "own_update_rule.py": "[ 0.5625",
    "reinforce_one_file.py": "rolled back to step",
}
OPTIONS = {
    "reinforce_one_file.py": ["--steps", "1"],
    "grpo_code.py": ["model", "easy.jsonl", "--steps", "1", "--held-out", "2"],
}
NEEDS = {
    "guard_pytorch.py": ("torch",),
    "reinforce_one_file.py": ("torch",),
    "guard_trl.py": ("trl",),
    "grpo_code.py": ("trl",),
}
MARKS = {"guard_trl.py": [pytest.mark.trl], "grpo_code.py": [pytest.mark.trl, pytest.mark.slow]}


def test_every_example_is_known_here_and_short() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)
    assert all(len(path.read_text().splitlines()) <= 120 for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, [])) for name in SAYS])
def test_example(name: str, tmp_path: Path) -> None:
    for library in NEEDS.get(name, ()):
        pytest.importorskip(library)
    if name == "grpo_code.py":
        tiny_hf.save(tmp_path / "model", chat=True)
        subprocess.run([sys.executable, str(EXAMPLES / "easy_problems.py")], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *OPTIONS.get(name, [])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout


@pytest.mark.parametrize("name", NEEDS)
def test_without_its_extra_an_example_says_one_line(name: str, tmp_path: Path) -> None:
    missing = NEEDS[name][0]
    code = (
        "import importlib.abc, runpy, sys\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {missing!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        f"runpy.run_path({str(EXAMPLES / name)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    said = f"crestfall: {missing} is not installed: pip install 'crestfall[{EXTRA_OF[missing]}]'\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("analyze_foreign_log.py", ["/nope"]),
        ("analyze_foreign_log.py", ["."]),
        ("easy_problems.py", ["/nope/x.jsonl"]),
        ("easy_problems.py", ["."]),
        ("guard_beside.py", ["log.jsonl"]),
        ("guard_beside.py", ["log.jsonl", "key", "step_{step}", "many"]),
        ("guard_beside.py", ["/proc/nope/log.jsonl", "key", "step_{step}", "8"]),
        ("guard_openrlhf.py", ["eval_default_pass1"]),
        ("guard_openrlhf.py", ["eval_default_pass1", "many"]),
        ("reinforce_one_file.py", ["--steps", "-1"]),
        ("reinforce_one_file.py", ["--rate", "nan"]),
        ("reinforce_one_file.py", ["--nope"]),
    ],
)
def test_a_bad_argument_is_one_line(name: str, words: list[str], tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(EXAMPLES / name), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "did not expect" not in done.stderr
    assert not list(tmp_path.iterdir())
