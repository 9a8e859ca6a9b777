"""The site: its links, the pages made from the code, and a whole build (slow)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from crestfall.cli.main import VERBS
from crestfall.core.registry import kinds
from crestfall.core.signals import TABLE
from research.site import links, llms, reference

ROOT = links.ROOT


def test_links_of_a_checkout_become_links_of_the_site() -> None:
    page = links.DOCS / "guard.md"
    text = "[a](pace.md#x) [b](../CONTRIBUTING.md) [c](../examples/guard_trl.py) [d](https://x.example/y) [e](#here)"
    assert links.rewritten(text, page) == (
        "[a](pace.md#x) [b](contributing.md) [c](files/examples/guard_trl.py.md) [d](https://x.example/y) [e](#here)"
    )
    assert links.rewritten('<img src="docs/llm/h100.svg">', ROOT / "README.md") == '<img src="llm/h100.svg">'


def test_what_stands_in_a_fence_is_no_link() -> None:
    text = "```\n[a](../README.md)\n```\n"
    assert links.rewritten(text, links.DOCS / "guard.md") == text
    assert list(links.targets(text, links.DOCS / "guard.md")) == []


def test_a_picture_in_two_colours_becomes_two_images() -> None:
    picture = '<picture>\n<source media="(x)" srcset="d.svg">\n<img src="l.svg" alt="what">\n</picture>'
    assert (
        links.two_pictures(picture) == '<img src="l.svg#only-light" alt="what"><img src="d.svg#only-dark" alt="what">'
    )


def test_the_reference_has_every_component_signal_and_verb() -> None:
    pages = reference.pages()
    assert {f"reference/options/{kind}.md" for kind in kinds()} <= set(pages)
    assert all(f"`{signal.name}`" in pages["reference/signals.md"] for signal in TABLE)
    assert all(f"usage: crestfall {verb} " in pages["reference/command_line.md"] for verb in VERBS)
    assert "## early_stop" in pages["reference/options/control.md"]
    assert "`patience` · int" in pages["reference/options/control.md"]


def test_llms_txt_lists_pages_with_their_first_sentence() -> None:
    nav = [{"Guard": [{"Loop": "guard.md"}, {"More": [{"Deep": "deep.md"}]}]}]
    text = llms.index(
        nav, {"guard.md": "# Guard\n\n```py\nx\n```\n\nIt **stops** [there](x.md). More.", "deep.md": "# D"}
    )
    assert "## Guard\n\n- [Loop](guard.md): It stops there.\n- [Deep](deep.md): " in text


@pytest.mark.slow
def test_the_site_builds_strictly_and_needs_no_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="NO MKDOCS: install the extra docs")
    subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet", "-d", str(tmp_path)], check=True, cwd=ROOT)
    fetched = re.compile(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(https?:[^"]+)"')
    assert [found for page in tmp_path.rglob("*.html") for found in fetched.findall(page.read_text())] == []
    listed = re.findall(r"\]\((\S+\.md)\)", (tmp_path / "llms.txt").read_text())
    assert listed
    assert [name for name in listed if not (tmp_path / name).is_file()] == []
