"""Inside a program's own process: run the one job that it was forked for."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import marshal
import os
import sys
from typing import Any

from crestfall.grading.sandbox import checker, harness, inside
from crestfall.grading.sandbox.encode import Encoder
from crestfall.grading.sandbox.harness import MODULE, Channel, NoStdin, find, load, reported
from crestfall.grading.sandbox.serve import serve


def run_calls(
    channel: Channel,
    source: str,
    header: str,
    entry: str,
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]],
    budget: int,
    every: bool,
    listed: bool,
) -> None:
    """Call `entry` with each of `calls` and send a line per call; stop at the first fault unless `every`. `listed`:
    iterators count as lists.

    A line is `["v", value]`, `["v", null, first argument]` where the call returned None, or `["x", kind, text]`.
    """
    namespace = load(source, MODULE, header)
    if isinstance(namespace, str):
        channel.send(namespace)
        return
    encoder = Encoder(budget, listed)
    for args, kwargs in calls:
        try:
            value = find(namespace, entry)(*args, **kwargs)
            line = f'["v",{encoder.encode(value)}]'
            if value is None and args:
                line = f'["v",null,{encoder.encode(args[0])}]'
        except BaseException as error:
            channel.send(reported(error))
            if not every:
                return
        else:
            channel.send(line)


def run_main(channel: Channel, source: str, header: str) -> None:
    """Run a program that reads standard input and writes standard output, and say how it ended."""
    ending = load(source, "__main__", header)
    try:
        finalize(source)
    except BaseException as error:
        ending = reported(error)
    channel.send(ending if isinstance(ending, str) else '["v",null]')


def finalize(source: str) -> None:
    """End a script as Python does: wait for non-daemon threads, run exit functions, flush, clear the globals (which
    closes open files) and flush the output of that."""
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    _flush()
    namespace = vars(sys.modules["__main__"])
    for name in [name for name in namespace if name != "__builtins__"]:
        namespace[name] = None
    if "__del__" in source or "open(" in source:
        gc.collect()
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            with contextlib.suppress(ValueError, AttributeError):  # closed, detached, no stream at all
                stream.flush()


def main(fd: int) -> None:
    """Serve one job from `fd`, then leave without running anything that the program left behind."""
    channel = Channel(fd)
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # site's, which is not loaded
    kind, code, *job = channel.receive()
    if code is not None:
        harness.ready[job[0]] = marshal.loads(code)
    if kind == "main":
        run_main(channel, *job)
    else:
        if kind != "inside":  # where tests stand in for standard input
            sys.stdin = NoStdin()
        kinds: dict[str, Any] = {"calls": run_calls, "code": serve, "inside": inside.serve, "checker": checker.run}
        kinds[kind](channel, *job)
    os._exit(0)
