"""`crestfall report DIR`: write the HTML report of a run or study."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from crestfall.cli.common import console_of, say
from crestfall.core.errors import ConfigError

EXAMPLE = """crestfall report runs/two
crestfall report --debug"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, metavar="DIR", nargs="?", help="a run or study directory, finished or not")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here (default: DIR/report.html)")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="print what a bug report needs: versions, sandbox, configuration; no secrets",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.debug:
        from crestfall.cli.debug import debug, lines

        found = debug(args.dir)
        if not args.json:
            say(console_of(args), "\n".join(lines(found)))
        return found
    if args.dir is None:
        raise ConfigError("crestfall report needs DIR, a run or study directory, or --debug")
    from crestfall import report

    written = report.write(args.dir, args.out)
    size = written.stat().st_size
    if not args.json:
        say(console_of(args), f"{written} ({size / 1000:,.0f} kB)")
    return {"dir": str(args.dir), "report": str(written), "bytes": size}
