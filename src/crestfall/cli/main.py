"""`crestfall VERB ...`. A verb is a module of this package with `configure(parser)` and `run(args) -> dict`.

`run` returns the object that `--json` prints and, without `--json`, prints for people itself. Only the chosen verb's
module is imported, and none imports torch before it has to: `--help` is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Sequence

import crestfall
from crestfall.core.errors import CrestfallError

VERBS: dict[str, str] = {
    "run": "train one chain and report on it",
    "study": "methods x seeds of chains; run again, it runs what is missing",
    "status": "how far a run or study is",
    "report": "write the HTML report of a run or study",
    "list": "the components that a configuration can name",
    "grade": "judge programs against problems: HumanEval, MBPP, APPS, LiveCodeBench, own JSONL",
    "analyze": "when did these runs peak, and was the fall real?",
    "replay": "what would this controller have done on these runs?",
    "evaluate": "pass@1 of a policy as it is, on a benchmark",
    "bench": "ratios against peers, side by side in one run",
}


def parser(verb: str | None) -> argparse.ArgumentParser:
    """The command line's parser, with the arguments of `verb` alone filled in."""
    top = argparse.ArgumentParser(prog="crestfall", description=crestfall.__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"crestfall {crestfall.__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, help_line in VERBS.items():
        sub = verbs.add_parser(name, help=help_line, description=help_line, allow_abbrev=False)
        if name == verb:
            importlib.import_module(f"crestfall.cli.{name}").configure(sub)
        sub.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
    return top


def parse(top: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """argparse takes `key=value` words only where they directly follow CONFIG; people write them anywhere."""
    args, rest = top.parse_known_args(argv)
    stray = [word for word in rest if word.startswith("-") or "=" not in word or not hasattr(args, "overrides")]
    if stray:
        top.error(f"unrecognized arguments: {' '.join(stray)}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 cells of a study failed or samples could not be graded, 2 usage or bad input (one line on
    stderr), 130 interrupted."""
    argv = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in argv if word in VERBS), None)
    args = parse(parser(verb), argv)
    try:
        # Libraries print, too: Ray, for one, says on stdout that a worker has died.
        with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
            result = importlib.import_module(f"crestfall.cli.{args.verb}").run(args)
    except CrestfallError as error:
        print(f"crestfall: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("crestfall: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    if args.json:
        print(json.dumps(result, allow_nan=False))
    return 1 if result.get("failed") or result.get("infra") else 0


if __name__ == "__main__":
    sys.exit(main())
