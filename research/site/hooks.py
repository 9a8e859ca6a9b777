"""mkdocs calls these while it builds the site (`hooks` in mkdocs.yml).

They add the README and its neighbours, the source files that pages link to, and the pages that are made from the code;
they make links of a checkout links of the site; and they leave each page as Markdown beside its HTML, with `llms.txt`
as their index.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from mkdocs.structure.files import File, Files  # noqa: E402

from crestfall.testbed.schema import config_schema  # noqa: E402
from research.site import links, llms, reference  # noqa: E402

_MARKDOWN: dict[str, str] = {}


def on_files(files: Files, config: Any) -> Files:
    _MARKDOWN.clear()
    own = [links.ROOT / name for name in links.ROOT_PAGES]
    linked = set()
    for source in [*own, *sorted(links.DOCS.rglob("*.md"))]:
        linked |= set(links.targets(source.read_text(encoding="utf-8"), source))
    outside = {path for path in linked if path.is_file() and not path.is_relative_to(links.DOCS)} - set(own)
    pages = {links.page_of(path): path.read_text(encoding="utf-8") for path in own}
    pages |= {links.page_of(path): links.shown(path) for path in sorted(outside)}
    pages |= reference.pages()
    pages["crestfall.schema.json"] = json.dumps(config_schema(), indent=1)
    for name, content in pages.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    name = page.file.src_uri
    if name in links.ROOT_PAGES.values() or (links.DOCS / name).is_file():
        markdown = links.rewritten(markdown, links.source_of(name))
    _MARKDOWN[name] = markdown
    return links.two_pictures(markdown)


def on_post_build(config: Any) -> None:
    site = Path(config["site_dir"])
    for name, text in _MARKDOWN.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (site / "llms.txt").write_text(llms.index(config["nav"], _MARKDOWN), encoding="utf-8")
