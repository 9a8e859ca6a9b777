"""crestfall's errors. Each refines the standard exception that a caller would expect in its place.

A message says what was wrong, where, and the way out, in one line: the command line prints it as it is and exits
with 2.
"""

from __future__ import annotations


class CrestfallError(Exception):
    """Root of every error that crestfall raises on purpose."""


class ConfigError(CrestfallError, ValueError):
    """A configuration that cannot be used: an unknown key, a wrong type, a value out of range."""


class InputError(CrestfallError, ValueError):
    """A file that is not what it should be. Names the file and, where there is one, the line and the field."""


class RunDirectoryError(CrestfallError, OSError):
    """A run directory that cannot be written, is locked, or belongs to another configuration."""


class MissingExtraError(CrestfallError, ImportError):
    """A library that comes with an extra is not installed. Names the extra."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"{library} is not installed: pip install 'crestfall[{extra}]'")


class GraderError(CrestfallError, RuntimeError):
    """The grader itself is at fault (`infra`); never a statement about a program."""


class CrestfallWarning(UserWarning):
    """Something that the user should know and that does not stop the work."""
