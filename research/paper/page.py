"""A page of prose with tables in it: what stands between `<!--NAME-->` and `<!--/NAME-->` is replaced, the rest is the
author's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from crestfall.core.errors import InputError

_BLOCK = re.compile(r"(?P<open><!--(?P<name>[\w-]+)-->\n).*?(?P<close><!--/(?P=name)-->)", re.DOTALL)


def fill(page: str, blocks: Mapping[str, str]) -> str:
    """The page with every block that has a text filled; blocks of other names stay as they are.

    Raises:
        InputError: a block is opened and never closed.
    """
    opened = set(re.findall(r"<!--([\w-]+)-->", page)) & set(blocks)
    closed = {match["name"] for match in _BLOCK.finditer(page)}
    if opened - closed:
        name = sorted(opened - closed)[0]
        raise InputError(f"<!--{name}--> must stand at the end of a line and be closed by <!--/{name}-->")
    return _BLOCK.sub(lambda m: m["open"] + blocks[m["name"]] + m["close"] if m["name"] in blocks else m[0], page)
