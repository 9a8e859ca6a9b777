"""`crestfall report DIR`: write the HTML report of a run or study."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, metavar="DIR", help="a run or study directory, finished or not")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here (default: DIR/report.html)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from crestfall import report

    written = report.write(args.dir, args.out)
    size = written.stat().st_size
    if not args.json:
        print(f"{written} ({size / 1000:,.0f} kB)")
    return {"dir": str(args.dir), "report": str(written), "bytes": size}
