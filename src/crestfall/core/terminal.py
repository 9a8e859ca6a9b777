"""The console that every command prints on: names and programs of others do not act on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from crestfall.core.text import visible


class Terminal(Console):
    """A rich console that writes out control characters in what it is given. Its own colours come after this."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text, lines=len(segment.text) + 1), segment.style)
