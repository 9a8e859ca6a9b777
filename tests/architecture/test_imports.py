"""Who may import whom, what stays light, and how long a module may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import crestfall

ROOT = Path(crestfall.__file__).parent
MODULES = {
    ".".join(("crestfall", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}

TRAINER = ("policies", "updates", "engines", "campaign", "chain", "session", "study", "executors", "care")
# Package or module -> what it must not import, directly, anywhere in its source (lazy imports count too).
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "analysis": (*TRAINER, "tasks", "grading", "report", "figures", "sinks", "cli", "config"),
    "figures": (*TRAINER, "tasks", "grading", "report", "sinks", "cli"),
    "report": (*TRAINER, "tasks", "grading", "sinks", "cli"),
    "paper": (*TRAINER, "tasks", "grading", "report", "sinks", "cli", "config"),
    "tasks": (*TRAINER, "control", "analysis", "report", "figures", "sinks", "cli", "config"),
    "grading": (*TRAINER, "control", "analysis", "report", "figures", "sinks", "cli", "config"),
    "policies": ("updates", "campaign", "chain", "session", "study", "control", "care", "analysis", "report", "cli"),
    "updates": ("engines", "campaign", "chain", "session", "study", "control", "care", "analysis", "report", "cli"),
    "engines": ("campaign", "chain", "session", "study", "control", "care", "analysis", "report", "cli", "sinks"),
    "control": (*TRAINER, "tasks", "grading", "report", "figures", "sinks", "cli", "config", "io"),
    "care": ("policies", "updates", "engines", "campaign", "chain", "study", "grading", "report", "cli", "config"),
    "campaign": (
        "policies",
        "updates",
        "chain",
        "session",
        "study",
        "care",
        "analysis",
        "report",
        "sinks",
        "cli",
        "io",
    ),
    "slices": ("policies", "updates", "chain", "session", "study", "control", "care", "analysis", "report", "cli"),
    "capability": (*TRAINER, "tasks", "control", "analysis", "report", "cli", "config", "io"),
    "chain": ("policies", "updates", "session", "study", "analysis", "report", "cli"),
    "study": ("policies", "updates", "engines", "chain", "analysis", "report", "cli", "sinks", "executors"),
    "io": (
        "policies",
        "updates",
        "campaign",
        "chain",
        "session",
        "study",
        "control",
        "care",
        "analysis",
        "cli",
        "config",
    ),
    "types": ("config", "registry", "io"),
}


def imports(path: Path) -> set[str]:
    """Modules of crestfall that a source file imports at run time, as dotted names below `crestfall`."""
    out: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            out.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            out.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {name.removeprefix("crestfall.") for name in out if name.startswith("crestfall.")}


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("package", FORBIDDEN)
def test_import_direction(package: str) -> None:
    members = [m for m in MODULES if is_below(m.removeprefix("crestfall."), package)]
    assert members, f"{package} is gone: rename it here, too"
    wrong = [
        f"{module} imports {name}"
        for module in members
        for name in imports(MODULES[module])
        for banned in FORBIDDEN[package]
        # The base modules are protocols and plain types: part of the contract, not of the trainer.
        if is_below(name, banned) and not is_below(name, f"{banned}.base")
    ]
    assert not wrong


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


@pytest.mark.parametrize("module", MODULES)
def test_modules_stay_small(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 400


def test_every_module_says_what_it_is() -> None:
    def undocumented(path: Path) -> bool:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return bool(tree.body) and ast.get_docstring(tree) is None

    assert not [module for module, path in MODULES.items() if undocumented(path)]
