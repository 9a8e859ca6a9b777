"""`multiprocessing` for programs that may not start processes: its processes are threads, its locks and its memory this
process's own.

What a program computes is the same; what it would not share between processes (globals) is shared here. Nothing is
imported before the program does: a finder changes the modules of the standard library right after their import.
"""

from __future__ import annotations

import importlib.machinery
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any

RECURSIVE_MUTEX = 0


class ThreadLock:
    """`_multiprocessing.SemLock` within one process."""

    SEM_VALUE_MAX = 2**31 - 1
    handle = 0

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        self.kind, self.maxvalue, self.name = kind, maxvalue, None  # without a name nobody has to track and unlink it
        self._free = threading.Semaphore(value)
        self._owner: int | None = None
        self._held = 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        if self.kind == RECURSIVE_MUTEX and self._is_mine():
            self._held += 1
            return True
        if not (self._free.acquire(True, timeout and max(timeout, 0)) if block else self._free.acquire(False)):
            return False
        self._owner, self._held = threading.get_ident(), 1
        return True

    def release(self) -> None:
        if self.kind == RECURSIVE_MUTEX:
            if not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            self._held -= 1
            if self._held:
                return
        elif self._get_value() >= self.maxvalue:
            raise ValueError("semaphore or lock released too many times")
        self._owner, self._held = None, 0
        self._free.release()

    __enter__ = acquire

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _count(self) -> int:
        return self._held

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == threading.get_ident()

    def _get_value(self) -> int:
        return int(self._free._value)

    def _is_zero(self) -> bool:
        return self._get_value() == 0

    def _after_fork(self) -> None:
        pass


class ThreadPopen:
    """What `Process.start` makes: a thread that runs the process's `run`."""

    method = "thread"

    def __init__(self, process: Any) -> None:
        self.returncode: int | None = None
        self.pid = self.sentinel = threading.get_native_id()
        self._thread = threading.Thread(target=self._run, args=(process,), daemon=process.daemon)
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
            self.returncode = code

    def poll(self, flag: int = 0) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        self._thread.join(timeout)
        return self.returncode

    def terminate(self) -> None:
        """A thread cannot be ended; the program's end ends it."""

    kill = close = terminate


def _context(module: ModuleType) -> None:
    for name in ("Process", "ForkProcess", "SpawnProcess", "ForkServerProcess"):
        getattr(module, name)._Popen = staticmethod(ThreadPopen)

    module.BaseContext.Manager = lambda self: Manager()


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


def _lock(module: ModuleType) -> None:
    module.SemLock = ThreadLock  # type: ignore[attr-defined]


def _fork(module: ModuleType) -> None:
    """An error, as where no such program is installed, and not the end of the process."""
    module.fork_exec = _refuse  # type: ignore[attr-defined]


def _subprocess(module: ModuleType) -> None:
    module._fork_exec = _refuse  # type: ignore[attr-defined]


CHANGES: dict[str, Callable[[ModuleType], None]] = {
    "_multiprocessing": _lock,
    "_posixsubprocess": _fork,
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
    """In the zygote, before the first program."""
    sys.meta_path.insert(0, Finder())
    for name in CHANGES.keys() & sys.modules.keys():
        CHANGES[name](sys.modules[name])
