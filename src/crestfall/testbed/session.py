"""One process at work on one run directory: opens it, trains, and records the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from crestfall.core.errors import RunDirectoryError
from crestfall.store.events import Sink
from crestfall.store.layout import RUN_FILE
from crestfall.store.run_directory import RunDirectory
from crestfall.testbed.chain import run_chain
from crestfall.testbed.config import RunConfig, as_of_today, resolved
from crestfall.testbed.preflight import check_sources


def train(
    config: RunConfig,
    path: Path,
    provenance: Mapping[str, Any],
    sinks: Callable[[RunDirectory], Sequence[Sink]] = lambda _: (),
    should_stop: Callable[[], bool] = lambda: False,
    patience: float = 2.0,
) -> bool:
    """Run the chain of `config` in `path`, or go on with it. Returns False if there was nothing left to do.

    `sinks` gets the opened directory, whose earlier events a sink may want to see first. `patience`: seconds to wait
    for another process that holds the directory.

    Raises:
        RunDirectoryError: the directory cannot be used.
        ConfigError, InputError: another file that the run should start with cannot be used; nothing has been made.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    if not (path / RUN_FILE).exists():
        check_sources(config)
    with RunDirectory(path) as directory:
        saved = directory.open(resolved(config), provenance, patience, as_of_today)
        if directory.status == "done":
            return False
        told = sinks(directory)
        try:
            directory.set_status("running")
            run_chain(config, directory, saved, lambda: config.engine.create(config), told, should_stop)
        except KeyboardInterrupt:
            directory.set_status("interrupted")
            raise
        except BaseException as error:
            # What went wrong may be the disk itself: the first error is the one to report.
            with suppress(RunDirectoryError):
                directory.set_status("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            for sink in told:
                sink.close()
        directory.set_status("done")
    return True
