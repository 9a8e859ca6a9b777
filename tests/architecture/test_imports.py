"""Who may import whom, what stays light, and how long a module may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import crestfall

ROOT = Path(crestfall.__file__).parent
MODULES = {
    ".".join(("crestfall", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}

# Who may import whom: type-only and lazy imports count too. Whoever is not named here imports nothing of crestfall.
MAY_IMPORT = {
    "store": {"core"},
    "grading": {"core", "store"},
    "control": {"core", "store"},
    "guard": {"core", "store", "grading", "control"},
    "analysis": {"core", "store", "control"},
    "report": {"core", "store", "control", "analysis"},
    "testbed": {"core", "store", "grading", "control", "guard"},
    "bench": {"core", "store", "grading", "testbed"},
    "cli": {"core", "store", "grading", "control", "guard", "analysis", "report", "testbed", "bench"},
    "__main__": {"cli"},
    "__init__": {"core", "grading", "guard"},  # public names, imported when they are first asked for
}


def imports(path: Path) -> set[str]:
    """Modules of crestfall that a source file imports anywhere."""
    out: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            out.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            out.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name if name in MODULES else name.rpartition(".")[0] for name in out if name.startswith("crestfall.")}


def test_layers() -> None:
    wrong = []
    for module, path in MODULES.items():
        layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
        above = {name.split(".")[1] for name in imports(path) - {"crestfall"}} - MAY_IMPORT.get(layer, set()) - {layer}
        wrong += [f"{module} imports crestfall.{name}" for name in sorted(above)]
    assert not wrong


def test_no_module_imports_itself_in_a_circle() -> None:
    TopologicalSorter({module: imports(path) - {"crestfall"} for module, path in MODULES.items()}).prepare()


def loaded_by(*words: str) -> set[str]:
    """Top-level packages that `crestfall WORDS` has imported when it is done."""
    script = (
        "import contextlib, io, sys\n"
        "from crestfall.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({list(words)!r})\n"
        "print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["study", "--help"], ["list"], ["status", "--help"]])
def test_heavy_libraries_are_not_imported(words: list[str]) -> None:
    loaded = loaded_by(*words)
    assert not loaded & {"torch", "transformers", "trl", "ray", "scipy", "matplotlib"}
    if words == ["--help"]:
        assert not loaded & {"numpy", "pydantic", "rich", "jinja2"}


@pytest.mark.parametrize(
    "module", ["crestfall.analysis", "crestfall.grading", "crestfall.report", "crestfall.control.early_stop"]
)
def test_light_parts_work_without_torch(module: str) -> None:
    script = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_modules_stay_small() -> None:
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: count for module, count in lines.items() if count > 400} == {}


def test_every_module_says_what_it_is() -> None:
    def undocumented(path: Path) -> bool:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return bool(tree.body) and ast.get_docstring(tree) is None

    assert not [module for module, path in MODULES.items() if undocumented(path)]
