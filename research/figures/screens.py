"""Pictures of what a user sees, made from a recorded run.

python -m research.figures.screens live RUN --events 47 --out live.svg     the live view after the run's first 47 events
python -m research.figures.screens report RUN --out report.png             the report of a run or study, in Chromium
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console, Group

from crestfall import report
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.report.live.console import campaign_table, now
from crestfall.report.live.progress import RunProgress
from crestfall.store.events import read_events
from crestfall.store.files import write_atomic
from crestfall.store.layout import EVENTS_FILE
from crestfall.store.meta import read_meta

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 usage or bad input (one line on stderr)."""
    parser = script_parser("research.figures.screens", __doc__)
    parser.add_argument("what", choices=("live", "report"))
    parser.add_argument("run", type=Path, help="run directory; `report` takes a study too")
    parser.add_argument("--events", type=int, metavar="N", help="live: the view after N events (default: after all)")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    args = parser.parse_args(argv)
    if args.what == "live":
        write_atomic(args.out, live(args.run, args.events))
    else:
        picture_of_report(args.run, args.out)
    print(args.out)
    return 0


def live(run: Path, events: int | None = None) -> str:
    """The terminal of `crestfall run` as SVG, without its clock. Raises InputError where there is no run."""
    meta = read_meta(run)
    if meta is None:
        raise InputError(f"{run}: expected a run directory (a cell of a study is one); it has no run.json")
    past = list(read_events(run / EVENTS_FILE))
    progress = RunProgress.of(meta["config"], past[:events])
    console = Console(record=True, width=100, force_terminal=True, file=io.StringIO())
    control = meta["config"]["control"]["name"]
    console.print(Group(campaign_table(progress), *now(progress, control)))
    svg = console.export_svg(title=f"crestfall run, method {progress.method}", unique_id="live")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # rich would have the font fetched


def picture_of_report(run: Path, out: Path, width: int = 1100, height: int = 1310) -> None:
    """The top of the report as PNG, in 64 colours (a fifth of the bytes). Raises InputError without Chromium."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise InputError(f"a picture of a report needs a browser: none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory() as folder:
        page = report.write(run, Path(folder) / "report.html")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
        words = [browser, *flags, f"--screenshot={out.resolve()}", page.as_uri()]
        subprocess.run(words, check=True, capture_output=True, timeout=120)
    few = Image.open(out).convert("RGB").quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, optimize=True)


if __name__ == "__main__":
    sys.exit(guarded(main))
