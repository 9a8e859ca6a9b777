"""Inside a program's own process: run the one job that it was forked for."""

from __future__ import annotations

import atexit
import builtins
import os
import sys
from typing import Any

from crestfall.grading.sandbox.encode import Encoder
from crestfall.grading.sandbox.harness import MODULE, Channel, NoStdin, fault, load
from crestfall.grading.sandbox.serve import serve


def run_calls(channel: Channel, source: str, entry: str, calls: list[tuple[Any, ...]], budget: int) -> None:
    """Call `entry` with each of `calls` and send `["v", value]` or `["x", kind, text]` per call; stop at the first
    fault."""
    namespace = load(source, MODULE)
    if isinstance(namespace, str):
        channel.send(namespace)
        return
    encoder = Encoder(budget, listed=True)
    for args in calls:
        try:
            line = f'["v",{encoder.encode(find(namespace, entry)(*args))}]'
        except BaseException as error:
            channel.send(fault(error))
            return
        channel.send(line)


def find(namespace: dict[str, Any], entry: str) -> Any:
    """The function, or the method of a fresh `Solution` (LeetCode's convention, in APPS and LiveCodeBench)."""
    if entry in namespace:
        return namespace[entry]
    if "Solution" in namespace:
        return getattr(namespace["Solution"](), entry)
    raise NameError(f"name {entry!r} is not defined")


def run_main(channel: Channel, source: str) -> None:
    """Run a program that reads standard input and writes standard output, and say how it ended.

    What Python does at the end of a script is done: non-daemon threads are waited for, exit functions run, output is
    flushed.
    """
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]  # site's, which is not loaded
    ending = load(source, "__main__")
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException as error:
        ending = fault(error)
    channel.send(ending if isinstance(ending, str) else '["v",null]')


def main(fd: int) -> None:
    """Serve one job from `fd`, then leave without running anything that the program left behind."""
    channel = Channel(fd)
    kind, *job = channel.receive()
    if kind == "main":
        run_main(channel, *job)
    else:
        sys.stdin = NoStdin()
        if kind == "calls":
            run_calls(channel, *job)
        else:
            serve(channel, *job)
    os._exit(0)
