"""`crestfall VERB ...`. A verb is a module of this package with `configure(parser)`, `run(args) -> dict` and EXAMPLE,
the commands that its help ends with.

`run` returns the object that `--json` prints and, without `--json`, prints for people itself. Where an outcome has an
exit code of its own, `exit_code(args, result)` gives it. Only the chosen verb's module is imported, and none imports
torch before it has to: `--help` is instant.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
from collections.abc import Sequence

import crestfall
from crestfall.cli.completion import SHELLS, PrintCompletion
from crestfall.core.entry import INTERRUPTED, Parser, guarded, say

VERBS: dict[str, str] = {
    "run": "train one chain and report on it",
    "study": "train chains of several methods and seeds; run it again for what is missing",
    "status": "show how far a run or study has got",
    "report": "write the HTML report of a run or study",
    "list": "list the components and options that a configuration can name",
    "grade": "grade programs against problems: HumanEval, MBPP, APPS, LiveCodeBench, own JSONL",
    "analyze": "find out when runs peaked, and whether the fall was real",
    "replay": "find out what a controller would have done on recorded runs",
    "watch": "follow logs while they are written, and report when the score has fallen",
    "diff": "compare two runs: what differs, and what differed first",
    "evaluate": "measure pass@1 of a policy on a benchmark, without training",
    "bench": "measure speed against peers, side by side in one run",
}


EXIT_CODES: dict[int, str] = {
    0: "Done. A run that a controller stopped is done.",
    1: "`study`: cells failed. `grade`: the scores are not of all samples (`infra`, missing or unknown tasks). "
    "`analyze --fail-on`: a run is of that class. `watch --once`: a score has fallen.",
    2: "Usage or bad input: one line on stderr names the file, the line or the key. "
    "`watch --once --keep`: a checkpoint could not be kept.",
    130: "Interrupted by Ctrl-C, SIGTERM or a closed terminal (SIGHUP). The same command continues where it was.",
}

AFTER_INTERRUPT = "nothing was written"
"""Message after an interrupt, for verbs that have none of their own."""


def parser(*filled: str) -> argparse.ArgumentParser:
    """The command line's parser, with the arguments of these verbs alone filled in."""
    top = Parser(prog="crestfall", description=crestfall.__doc__, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"crestfall {crestfall.__version__}")
    top.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=PrintCompletion,
        const=lambda: parser(*VERBS),
        help="print the script that completes commands in this shell (docs/configuration.md)",
    )
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, help_line in VERBS.items():
        raw = argparse.RawDescriptionHelpFormatter
        sub = verbs.add_parser(name, help=help_line, description=help_line, allow_abbrev=False, formatter_class=raw)
        if name in filled:
            module = importlib.import_module(f"crestfall.cli.{name}")
            module.configure(sub)
            sub.epilog = "\n  ".join(
                ("examples:" if "\n" in module.EXAMPLE else "example:", *module.EXAMPLE.split("\n"))
            )
        sub.add_argument("--json", action="store_true", help="print one JSON object on stdout and nothing else")
        sub.set_defaults(refuse=sub.error)
    return top


def parse(top: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """argparse takes `key=value` words only where they directly follow CONFIG; people write them anywhere."""
    args, rest = top.parse_known_args(argv)
    stray = [word for word in rest if word.startswith("-") or "=" not in word or not hasattr(args, "overrides")]
    if stray:
        args.refuse(f"unrecognized arguments: {' '.join(stray)}")
    if rest:
        args.overrides = [*args.overrides, *rest]
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: one of `EXIT_CODES`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _main(words))


def _main(argv: list[str]) -> int:
    verb = next((word for word in argv if word in VERBS), None)
    top = parser(*filter(None, [verb]))
    if not argv:
        top.print_help()
        return 0
    args = parse(top, argv)
    module = importlib.import_module(f"crestfall.cli.{args.verb}")
    try:
        # Libraries print, too: Ray, for one, says on stdout that a worker has died.
        with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
            result = module.run(args)
    except KeyboardInterrupt:
        say(f"interrupted; {getattr(module, 'AFTER_INTERRUPT', AFTER_INTERRUPT)}")
        return INTERRUPTED
    if args.json:
        print(json.dumps(result, allow_nan=False))
    if hasattr(module, "exit_code"):
        return int(module.exit_code(args, result))
    return 1 if result.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
