"""crestfall: has this reinforcement-learning run already peaked, and what should carry on from there?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from crestfall.guard.guard import Guard as Guard
    from crestfall.guard.state import GlobalRng as GlobalRng
    from crestfall.guard.trl_callback import CrestfallCallback as CrestfallCallback

_LAZY = {
    "Guard": "crestfall.guard.guard",
    "GlobalRng": "crestfall.guard.state",
    "CrestfallCallback": "crestfall.guard.trl_callback",
}


def __getattr__(name: str) -> Any:
    """What people use in their own runs, imported when it is first asked for: `import crestfall` stays instant."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
