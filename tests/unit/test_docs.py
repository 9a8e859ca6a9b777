"""What README, docs, CONTRIBUTING and the examples' docstrings show is there: links, pages, commands, configurations.

Commands are parsed as the command line parses them, and those of `run` and `study` are loaded as it loads them; nothing
is run. Left out are lines with shell variables, an ellipsis or options in brackets, and placeholders in capitals.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crestfall.cli.main import VERBS, parse, parser
from crestfall.core import registry
from crestfall.testbed.config import load_run, load_study

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    *sorted(ROOT.glob("docs/**/*.md")),
]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(rf"\bcrestfall (?:{'|'.join(VERBS)}) [^;`\n>|]*")


def links(page: Path) -> Iterator[Path]:
    """The files that a page's relative links lead to."""
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if not re.match(r"\w+:", target):
            yield (page.parent / target.partition("#")[0]).resolve()


@functools.cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges and the site make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> str:
    """All that a page shows as code, a shell's continued lines joined; of a module, its docstring."""
    text = page.read_text()
    if page.suffix == ".py":
        return text.split('"""')[1]
    blocks = [block.replace("\\\n", " ") for _, block in FENCE.findall(text)]
    spans = [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", FENCE.sub("", text))]
    return "\n".join([*blocks, *spans])


def commands(page: Path) -> Iterator[str]:
    for command in COMMAND.findall(code(page)):
        if not any(mark in command for mark in ("...", "$", "[--")):
            yield shlex.join(shlex.split(command, comments=True))


SHOWN = sorted({command for page in [*PAGES, *EXAMPLES] for command in commands(page)})
YAML = [(page, block) for page in PAGES for language, block in FENCE.findall(page.read_text()) if language == "yaml"]


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The modules that the pages name as plugins; what they register is forgotten afterwards."""
    for kind in registry.kinds():
        registry.components(kind)
    modules = ("my_controls", "research.supervised", *(path.stem for path in EXAMPLES))
    known = {  # a test before this one may have imported them
        kind: {name: cls for name, cls in components.items() if cls.__module__ not in modules}
        for kind, components in registry._COMPONENTS.items()
    }
    monkeypatch.setattr(registry, "_COMPONENTS", known)
    (tmp_path / "my_controls.py").write_text(
        "from dataclasses import dataclass\n"
        "from crestfall.control.basic import NoControl\n"
        "from crestfall.core.registry import register\n"
        '@register("control", "my_rule")\n'
        "@dataclass(frozen=True)\n"
        "class MyRule(NoControl): ...\n"
    )
    for folder in (ROOT / "examples", tmp_path):
        monkeypatch.syspath_prepend(folder)
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [str(target) for target in links(page) if not target.exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached:
            reached.add(page)
            ahead += [target for target in links(page) if target.suffix == ".md"]
    assert {page for page in PAGES if page.parent in (ROOT, ROOT / "docs")} - reached == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_are_headings(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    wrong = []
    for target in re.findall(r"\]\(([^)\s]*#[^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not re.match(r"\w+:", target) and there.suffix == ".md" and anchor not in anchors(there):
            wrong.append(target)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lists_and_tables_stand_apart(page: Path) -> None:
    """A forge shows a list right behind a paragraph as a list; the site's Markdown makes a paragraph of both."""
    lines = FENCE.sub("", page.read_text()).splitlines()
    starts = re.compile(r"[-*] |\d+\. |\|")
    wrong = []
    for before, line in itertools.pairwise(lines):
        within = starts.match(before) or before.startswith(("  ", "#", "<!--")) or not before.strip()
        if starts.match(line) and not within:
            wrong.append(line)
    assert wrong == []


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    assert {page.name for page in ROOT.glob("docs/*.md")} - set(re.findall(r"\w+\.md", text)) == set()


def test_commands_are_found() -> None:
    """The tests below run over something, of every verb."""
    assert {command.split()[1] for command in SHOWN} == set(VERBS)


@pytest.mark.parametrize("command", SHOWN)
def test_a_command_parses(command: str, plugins: None, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, *words = shlex.split(command)[1:]
    if verb == "list" and words[0].isupper():
        return
    args = parse(parser(verb), [verb, *words])
    if verb in ("run", "study") and not args.config.isupper():
        # No file of the checkout stands in for a shipped name; the studies of `research` are named by their path.
        monkeypatch.chdir(ROOT if args.config.startswith("research/") else ROOT / "tests")
        (load_run if verb == "run" else load_study)(args.config, args.overrides)


@pytest.mark.parametrize(("page", "block"), YAML, ids=lambda value: value.name if isinstance(value, Path) else "")
def test_a_configuration_is_one(page: Path, block: str, plugins: None, tmp_path: Path) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(block)
    assert load_study(str(file)) if "methods:" in block else load_run(str(file))


def test_files_that_pages_name_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:tests|examples|research|src)/[\w/.]+)`", page.read_text()):
            assert page.name == "CHANGELOG.md" or (ROOT / name).exists(), f"{page}: {name}"


def test_modules_and_chores_exist() -> None:
    text = "\n".join(code(page) for page in PAGES)
    modules = set(re.findall(r"python -m ((?:crestfall|research)(?:\.\w+)*)", text))
    assert modules
    assert {name for name in modules if importlib.util.find_spec(name) is None} == set()
    chores = set(re.findall(r"^make (\w+)", text, re.MULTILINE))
    known = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert chores
    assert chores <= known
