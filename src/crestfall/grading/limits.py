"""Resource limits of a program, and the grader's configuration. Plain data without grading logic."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from crestfall.core.errors import ConfigError

_MOST = {
    "cpu_seconds": 86_400.0,
    "wall_seconds": 604_800.0,
    "memory_mib": 1 << 24,
    "output_bytes": 1 << 31,
    "workers": 1024,
    "scratch_mib": 1 << 20,
}
"""More than any program or machine needs: what lies above is a slip, and some of it would overflow the kernel's."""

LAYERS = ("namespaces", "root", "landlock", "seccomp", "uid")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one program, and the shape of the pool that runs them.

    CPU time decides: a program that used up `cpu_seconds` is out of time on any machine. `wall_seconds` only catches
    programs that sleep, so it is generous.
    """

    cpu_seconds: float = 3.0
    """CPU time of one program over all of its tests (each case of a stdin/stdout problem is a program of its own)."""
    wall_seconds: float = 12.0
    """Wall time of one program; a program that hits this below its CPU limit is run once more, alone."""
    memory_mib: int = 1024
    """Address space of one program."""
    output_bytes: int = 8 << 20
    """Bytes that a program may print, and that the encoded values it returns may take."""
    workers: int = 2
    """Programs that run at the same time."""
    scratch_mib: int = 16
    """Size of the program's file system in MiB. Without a mount namespace: the total size of its files at which the
    program is stopped."""
    packages: tuple[str, ...] = ()
    """Installed third-party packages that programs (and test code) may import; the standard library is always there."""
    inside: bool = True
    """Run tests that handle a program's objects in the program's own process, where it could forge their result. False:
    such problems are `unsupported`."""
    every_test: bool = False
    """Run the tests that follow a failed one too, for `Grade.share` and `Grade.tests`. False: the first failure ends
    the program."""
    keep_output: int = 0
    """Number of bytes of a program's stdout and of its stderr to keep in its grade."""
    retry_share: float = 0.05
    """Largest share of a batch that is run again after a wall time-out (at least one program is)."""
    without: tuple[str, ...] = ()
    """Isolation layers to leave out, of `namespaces root landlock seccomp uid`: for tests of the other layers and for
    debugging."""

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not 0 < value <= most:  # NaN is in no range
                raise ConfigError(f"grading.{name}: {value!r} must be more than 0 and at most {most:g}")
        if not 0 <= self.keep_output <= 1 << 31:
            raise ConfigError(f"grading.keep_output: {self.keep_output!r} must be 0 or more, and at most {1 << 31:,}")
        if not 0 <= self.retry_share <= 1:
            raise ConfigError(f"grading.retry_share: {self.retry_share!r} is not a share between 0 and 1")
        unknown = [layer for layer in self.without if layer not in LAYERS]
        if unknown:
            raise ConfigError(f"grading.without: {unknown[0]!r} is not an isolation layer; known: {', '.join(LAYERS)}")

    def check_packages(self) -> None:
        """Raises ConfigError for a package that is not installed: every program that imports it would fail."""
        for name in self.packages:
            if not name.isidentifier() or importlib.util.find_spec(name) is None:
                raise ConfigError(f"grading.packages: {name!r} is not installed here")
