"""The wheel and the source distribution as a user gets them: installed outside the checkout, they start and grade, and
what the package reads from itself is in them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import venv
from importlib.resources import files
from pathlib import Path

import pytest

import crestfall

ROOT = Path(__file__).parents[2]
KINDS = {"wheel": "*.whl", "sdist": "*.tar.gz"}
BUILT_FROM = ("src", "pyproject.toml", "README.md", "LICENSE", ".gitignore")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(path: Path) -> Path:
    """A virtual environment that sees this one's libraries, but not the checkout; the path of its Python."""
    venv.create(path, with_pip=True)
    python = path / "bin" / "python"
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=path).strip()
    (Path(own) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the build backend."""
    python = environment(tmp_path_factory.mktemp("builder") / "venv")
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", "hatchling"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"NO BUILD BACKEND, nothing was built: {installed.stderr.splitlines()[-1]}")
    return python


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_built_works_outside_the_checkout(builder: Path, kind: str, tmp_path: Path) -> None:
    source, built = tmp_path / "source", tmp_path / "built"
    source.mkdir()
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    run(builder, "-m", "hatchling", "build", "-t", kind, "-d", built, cwd=source)
    (package,) = built.glob(KINDS[kind])
    shutil.rmtree(source)
    install = ("-m", "pip", "install", "--no-deps", "--no-index", "--no-build-isolation", "--force-reinstall")
    run(builder, *install, package, cwd=tmp_path)

    command = builder.parent / "crestfall"
    assert run(command, "--version", cwd=tmp_path) == f"crestfall {crestfall.__version__}\n"
    place = run(builder, "-c", "import crestfall; print(crestfall.__path__[0])", cwd=tmp_path).strip()
    assert Path(place).is_relative_to(builder.parents[1])
    assert data_of(Path(place)) == data_of(Path(str(files("crestfall"))))

    problem = {
        "task_id": "a",
        "entry_point": "f",
        "prompt": "def f(x):\n",
        "test": "def check(c):\n    assert c(1) == 2\n",
    }
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    samples = [{"task_id": "a", "completion": f"    return x + {more}\n"} for more in (1, 2)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    words = ("grade", "--problems", "problems.jsonl", "--samples", "samples.jsonl", "--json")
    assert json.loads(run(command, *words, cwd=tmp_path))["passed"] == 1
    run(command, "run", "chain", "--dry-run", cwd=tmp_path)


def data_of(package: Path) -> set[str]:
    """The files of the package that are not Python: configurations, their schema, weights, the page's template."""
    found = (file for file in package.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc"))
    return {file.relative_to(package).as_posix() for file in found}
