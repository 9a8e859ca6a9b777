"""The Hugging Face hub, where it cannot be reached: what is asked of it then comes from its cache, or fails at once."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

_PATIENCE = 3.0


def use_cache_where_unreachable() -> None:
    """Without a network the hub's libraries try again and again, for half a minute a file. To be called before they
    are imported: they read their environment once."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or getproxies():
        return
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((address.hostname or "", port), timeout=_PATIENCE).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
