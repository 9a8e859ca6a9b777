"""The way in for every command: what goes wrong becomes one line on stderr and an exit code.

Exit codes: 0 done, 2 usage or bad input, 130 interrupted. `CRESTFALL_TRACEBACK=1` shows where an error came from.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import signal
import stat
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from crestfall.core.errors import CrestfallError, CrestfallWarning, MissingExtraError
from crestfall.core.extras import missing_extra, require
from crestfall.core.text import visible

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

BAD, INTERRUPTED = 2, 130
TRACEBACK = "CRESTFALL_TRACEBACK"
UNEXPECTED = "an error that crestfall did not expect"


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line on stderr, as for all bad input; argparse would print the usage first."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """An empty word is a variable of a shell that is not set: as a path it would be the working directory."""
        args = sys.argv[1:] if args is None else list(args)
        if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in args):
            self.error("an empty argument: is a variable of the shell unset?")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        say(f"{message} (usage: {self.prog} --help)")
        self.exit(BAD)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """argparse says nothing of help that could not be written."""
        if message:
            (sys.stderr if file is None else file).write(message)


def script_parser(module: str, doc: str | None) -> Parser:
    """The parser of `python -m MODULE`, whose help is the module's docstring."""
    raw = argparse.RawDescriptionHelpFormatter
    return Parser(prog=f"python -m {module}", description=doc, formatter_class=raw, allow_abbrev=False)


def needs(*libraries: str) -> None:
    """End a script with a one-line error if a library is missing."""
    try:
        require(*libraries)
    except MissingExtraError as error:
        say(str(error))
        raise SystemExit(BAD) from None


def guarded(main: Callable[[], int]) -> int:
    """The exit code of `main`, whatever it raises. Standard output is written to the end before this returns."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal shows the rest
    try:
        with _warnings_in_one_line(), _stoppable():
            code = _code_of(main)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _drop_output()
        return 0
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        say(one_line(error))
        _drop_output()
        return BAD


def _code_of(main: Callable[[], int]) -> int:
    """Also of what ends by itself, as argparse does after `--help`: what it printed is still to be written."""
    try:
        return main()
    except SystemExit as end:
        if isinstance(end.code, str):
            say(end.code)
        return 0 if end.code is None else end.code if isinstance(end.code, int) else BAD


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """crestfall's own warnings as one line on stderr, as errors are; Python would show a line of source with each."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CrestfallWarning)
        show = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, CrestfallWarning):
                say(" ".join(str(message).split()))
            else:
                show(message, category, *rest, **more)

        warnings.showwarning = shown
        yield


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP (the terminal was closed) stop a command as Ctrl-C does, whatever handles that at the time;
    Ctrl-C does so where a shell's `&` had it ignored, too. SIGHUP stays ignored under `nohup`."""

    def as_interrupt(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _drop_terminal()
        handler = signal.getsignal(signal.SIGINT)
        assert callable(handler)
        handler(number, frame)

    if threading.current_thread() is not threading.main_thread():  # where Python takes no signals
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if not callable(before[signal.SIGINT]):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, as_interrupt)
    if before[signal.SIGHUP] is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, as_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drop_terminal() -> None:
    """Print no more where a terminal was: writing to one that is gone is an error, which would end a run as failed."""
    for number in (1, 2):
        if stat.S_ISCHR(os.fstat(number).st_mode):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _open_closed_streams() -> None:
    """Open /dev/null in place of standard streams that the shell closed (`>&-`). Python sets these to None, which no
    code expects, and the next opened file would get the descriptor: messages to stderr would land in a run's log."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def one_line(error: Exception) -> str:
    """One line about an error: what was wrong, and where."""
    match error:
        case CrestfallError():
            text = str(error)
        case ImportError() if (extra := missing_extra(error)) is not None:
            text = str(extra)
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            text = f"{error.filename or 'output'}: the disk is full"
        case OSError() if error.strerror:
            text = f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
        case RuntimeError() if str(error).startswith("Symlink loop"):  # pathlib's, before Python 3.13
            text = str(error)
        case MemoryError():
            text = "out of memory"
        case RecursionError():
            text = "the input is nested too deeply"
        case _:
            text = f"{UNEXPECTED} ({TRACEBACK}=1 shows where): {type(error).__name__}: {error}"
    return re.sub(r"\s*\n\s*", " ", text.strip())


def say(text: str) -> None:
    """Print one line on stderr, whatever `text` holds: in a path there may be characters that a terminal acts on."""
    with suppress(OSError):
        print(f"crestfall: {visible(text)}", file=sys.stderr, flush=True)


def _drop_output() -> None:
    """Discard output that cannot be written. At exit Python would report it otherwise, and change the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ValueError:
        pass
