"""One page over many imported runs: a row each, with the numbers of the table and a link to the run's own page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from crestfall.analysis.analyze import Analysis
from crestfall.analysis.classify import FALLEN
from crestfall.report.text import visible
from crestfall.store.files import write_atomic

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}
div{overflow-x:auto}table{border-collapse:collapse}th,td{padding:.3rem .7rem;text-align:left;border-top:1px solid #8886}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.fell{color:#c22;font-weight:600}
@media(prefers-color-scheme:dark){.fell{color:#f77}}
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
        "<title>{}</title><style>{}</style><h1>{}</h1><div><table><tr><th>run</th><th>metric</th><th>class</th>{}"
        "<th>of all its curves</th></tr>{}</table></div><p>start, peak, end: smoothed. p-value: of the fall, against a "
        "plateau with the same noise. onset: the step at which the fall begins.</p></html>\n"
    ).format(title, Markup(_STYLE), title, head, rows)
    write_atomic(path, str(html))
    return path


def _row(a: Analysis, page: Path) -> Markup:
    c, of = a.classification, a.levels
    numbers = [f"{of.start.value:.3f}", f"{of.peak.value:.3f}", f"{a.peak_step:,}", f"{of.end.value:.3f}"]
    numbers += [f"{of.fall.value:.3f}", "" if of.fall.interval is None else f"{c.p_fall:.3f}"]
    numbers.append("" if a.onset is None else f"{a.onset:,}")
    cells = Markup("").join(Markup('<td class="n">{}</td>').format(text) for text in numbers)
    kind = "fell" if c.label in FALLEN else ""
    return Markup('<tr><td><a href="{}">{}</a></td><td>{}</td><td class="{}">{}</td>{}<td>{}</td></tr>').format(
        page.name,
        visible(a.trajectory.name, 80),
        visible(a.trajectory.metric, 80),
        kind,
        c.label.replace("_", " "),
        cells,
        visible(a.headline, 200) if a.others else "",
    )
