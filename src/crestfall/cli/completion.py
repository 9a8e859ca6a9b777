"""`crestfall --print-completion SHELL`: the script with which a shell completes verbs, options and files (by shtab)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "tcsh", "fish", "powershell")


class PrintCompletion(argparse.Action):
    """Prints the script of a shell and ends, as `--version` does;
    `const` makes the parser with every verb's options."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        assert callable(self.const)
        print(script(self.const(), str(values)))
        parser.exit()


def script(whole: argparse.ArgumentParser, shell: str) -> str:
    """The completion script of a shell for this parser."""
    import shtab

    from crestfall.testbed.config import shipped

    for action in actions(whole):
        if action.metavar == "CONFIG":
            words = " ".join(shipped())
            named = {"bash": "_crestfall_configs", "zsh": "_crestfall_configs", "fish": f"({words})"}
            action.complete = {**shtab.FILE, **named}  # type: ignore[attr-defined]
        elif action.type is Path or action.metavar == "PATH":
            action.complete = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE  # type: ignore[attr-defined]
    functions = {
        "bash": f'_crestfall_configs() {{ compgen -W "{" ".join(shipped())}" -- "$1"; compgen -f -- "$1"; }}',
        "zsh": f"_crestfall_configs() {{ compadd -- {' '.join(shipped())}; _files }}",
    }
    made: str = shtab.complete(whole, shell, preamble={shell: functions.get(shell, "")})
    return made


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of those below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)
