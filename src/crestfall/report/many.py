"""One page over many imported runs: a row each, with the numbers of the table and a link to the run's own page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from crestfall.analysis.analyze import Analysis
from crestfall.analysis.classify import FALLEN
from crestfall.core.text import visible
from crestfall.store.files import write_atomic

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;text-align:left;border-top:1px solid #8886}
td{overflow-wrap:anywhere}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.kind{white-space:nowrap}.fell{color:#c22;font-weight:600}
@media(prefers-color-scheme:dark){.fell{color:#f77}}
@media(max-width:60rem){tr:first-child{display:none}tr{display:flex;flex-wrap:wrap;gap:0 1rem;padding:.6rem 0;
border-top:1px solid #8886}td{border:0;padding:0}.name,.of{flex-basis:100%}td[title]::before{content:attr(title) " ";
opacity:.75}}
"""
_NUMBERS = ("start", "peak", "step", "end", "gap", "p-value", "onset")


def write_index(analyses: Sequence[Analysis], pages: Sequence[Path], path: Path) -> Path:
    """`pages`: one of each run, in the same folder as `path`. Raises OSError."""
    fell = sum(a.classification.label in FALLEN for a in analyses)
    title = f"{fell} of {len(analyses)} runs end below their peak"
    head = Markup("").join(Markup('<th class="n">{}</th>').format(name) for name in _NUMBERS)
    rows = Markup("").join(_row(a, page) for a, page in zip(analyses, pages, strict=True))
    html = Markup(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<title>{}</title><style>{}</style><h1>{}</h1><table><tr><th>run</th><th>metric</th><th>class</th>{}"
        "<th>of all its curves</th></tr>{}</table><p>start, peak, end: smoothed. p-value: of the fall, against a "
        "plateau with the same noise. onset: the step at which the fall begins.</p></html>\n"
    ).format(title, Markup(_STYLE), title, head, rows)
    write_atomic(path, str(html))
    return path


def _row(a: Analysis, page: Path) -> Markup:
    c, of = a.classification, a.levels
    numbers = [f"{of.start.value:z.3f}", f"{of.peak.value:z.3f}", f"{a.peak_step:,}", f"{of.end.value:z.3f}"]
    numbers += [f"{of.fall.value:z.3f}", "" if of.fall.interval is None else f"{c.p_fall:.3f}"]
    numbers.append("" if a.onset is None else f"{a.onset:,}")
    cells = Markup("").join(map(_cell, _NUMBERS, numbers))
    kind = "kind fell" if c.label in FALLEN else "kind"
    row = '<tr><td class="name"><a href="{}">{}</a></td><td>{}</td><td class="{}">{}</td>{}<td class="of">{}</td></tr>'
    return Markup(row).format(
        page.name,
        visible(a.trajectory.name, 80),
        visible(a.trajectory.metric, 80),
        kind,
        c.label.replace("_", " "),
        cells,
        visible(a.headline, 200) if a.others else "",
    )


def _cell(name: str, text: str) -> Markup:
    """The name is shown beside the number where the window is too narrow for a table."""
    return Markup('<td class="n" title="{}">{}</td>').format(name, text) if text else Markup('<td class="n"></td>')
