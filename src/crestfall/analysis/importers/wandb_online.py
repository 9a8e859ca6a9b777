"""`wandb://ENTITY/PROJECT/RUN`: the full history of a run, or of all runs of a project, through the wandb package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.core.errors import InputError, MissingExtraError

SCHEME = "wandb://"


def read_online(address: str, api: Any = None) -> list[History]:
    """`api`: a `wandb.Api`, made here unless given.

    Raises:
        InputError: the address is malformed, there is no such run, or W&B refuses.
        MissingExtraError: the wandb package is not installed.
    """
    parts = address.removeprefix(SCHEME).removeprefix("/").rstrip("/").split("/")
    parts = [part for part in parts if part != "runs"]
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InputError(f"{address}: expected wandb://ENTITY/PROJECT/RUN or wandb://ENTITY/PROJECT")
    api = _api() if api is None else api
    try:
        runs = [api.run("/".join(parts))] if len(parts) == 3 else list(api.runs("/".join(parts)))
        return [history for run in runs for history in _read(run, address)]
    except InputError:
        raise
    except Exception as error:  # wandb raises errors of its own, of requests and of its transport
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise InputError(f"{address}: W&B did not return this run: {reason}") from None


def _read(run: Any, address: str) -> Iterable[History]:
    frame = Frame.of(dict(cells_of(row)) for row in run.scan_history())
    about = About(str(run.name or run.id), Path(address), "W&B")
    return histories_or_error(frame, about, "a history with scores")


def _api() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise MissingExtraError("wandb", "trackers") from error
    try:
        return wandb.Api()
    except Exception as error:
        raise InputError(f"W&B: {str(error).splitlines()[0]}; set WANDB_API_KEY or run `wandb login`") from None
