"""`multiprocessing` for programs that may not start processes: its processes are threads, with the locks and queues of
threads, and its memory is this process's own.

What a program computes is the same; what it would not share between processes (globals) is shared here. Nothing is
imported before the program does: a finder changes the modules of the standard library right after their import.
"""

from __future__ import annotations

import importlib.machinery
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any


class Queue(queue.Queue):  # type: ignore[type-arg]
    """`multiprocessing.Queue` and its kin between threads."""

    def close(self) -> None:
        """Do nothing: no data is left to be sent."""

    join_thread = cancel_join_thread = close


class ThreadPopen:
    """Process object made by `Process.start`: a thread that runs the process's `run`."""

    method = "thread"

    def __init__(self, process: Any) -> None:
        self.returncode: int | None = None
        self.pid = self.sentinel = threading.get_native_id()
        self._thread = threading.Thread(target=self._run, args=(process,), daemon=True)
        self._thread.start()

    def _run(self, process: Any) -> None:
        code = 1
        try:
            process.run()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            self.returncode = code if self.returncode is None else self.returncode

    def poll(self, flag: int = 0) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if self.returncode is None:
            self._thread.join(timeout)
        return self.returncode

    def terminate(self) -> None:
        """A thread cannot be ended: nobody waits for it any more, and the program's end ends it."""
        self.returncode = -signal.SIGTERM if self.returncode is None else self.returncode

    kill = terminate

    def close(self) -> None:
        """Do nothing: no resource is held."""


def _context(module: ModuleType) -> None:
    """Locks are those of threads, and queues too."""
    for name in ("Process", "ForkProcess", "SpawnProcess", "ForkServerProcess"):
        getattr(module, name)._Popen = staticmethod(ThreadPopen)
    made: dict[str, Any] = {name: getattr(threading, name) for name in _LOCKS}
    made |= {"Queue": Queue, "JoinableQueue": Queue, "Manager": Manager}
    for name, kind in made.items():
        setattr(module.BaseContext, name, lambda self, *args, kind=kind, **kwargs: kind(*args, **kwargs))


_LOCKS = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")


class Manager:
    """`multiprocessing.Manager()`: what it hands out are this process's own lists, dicts and queues."""

    def __getattr__(self, name: str) -> Any:
        from multiprocessing import dummy

        return getattr(dummy, name)

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def start(self, *args: object) -> None:
        pass

    shutdown = start


def _pool(module: ModuleType) -> None:
    """Every pool makes its workers and queues as `ThreadPool` does."""
    for name in ("Process", "_setup_queues", "_get_sentinels", "_get_worker_sentinels", "_help_stuff_finish"):
        setattr(module.Pool, name, vars(module.ThreadPool)[name])


def _heap(module: ModuleType) -> None:
    class Arena:
        def __init__(self, size: int, fd: int = -1) -> None:
            import mmap

            self.size, self.fd, self.buffer = size, fd, mmap.mmap(-1, size)

    module.Arena = Arena  # type: ignore[attr-defined]


def _executor(module: ModuleType) -> None:
    from concurrent.futures.thread import ThreadPoolExecutor

    class ProcessPoolExecutor(ThreadPoolExecutor):
        def __init__(
            self, max_workers: Any = None, mp_context: Any = None, initializer: Any = None, initargs: Any = (), **_: Any
        ) -> None:
            super().__init__(max_workers, initializer=initializer, initargs=initargs)

    module.ProcessPoolExecutor = ProcessPoolExecutor  # type: ignore[attr-defined]


class Refused(PermissionError):
    """A program has tried to start another one."""


def _refuse(*args: object) -> int:
    raise Refused(1, "this sandbox starts no other programs")


def _subprocess(module: ModuleType) -> None:
    """An error, as where no such program is installed, and not the end of the process."""
    module.fork_exec = module._fork_exec = _refuse  # type: ignore[attr-defined]


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "_posixsubprocess": _subprocess,
    "subprocess": _subprocess,
    "multiprocessing.context": _context,
    "multiprocessing.pool": _pool,
    "multiprocessing.heap": _heap,
    "concurrent.futures.process": _executor,
}


class _Changing(Loader):
    def __init__(self, loader: Any, change: Callable[[ModuleType], None]) -> None:
        self._loader, self._change = loader, change

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._change(module)


class Finder(MetaPathFinder):
    """Stands first in `sys.meta_path`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        change = CHANGES.get(fullname)
        if change is None:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Changing(spec.loader, change)
                return spec
        return None


def install() -> None:
    """Install the replacements; called in the zygote before the first program."""
    sys.meta_path.insert(0, Finder())
    for name in CHANGES.keys() & sys.modules.keys():
        CHANGES[name](sys.modules[name])
