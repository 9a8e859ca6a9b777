"""LiveCodeBench's packed tests: base64 of zlib of a pickle of a string of JSON.

The pickle is read by an unpickler that knows no class and no function, so that nothing but strings, numbers and
containers of them can come out of it.
"""

from __future__ import annotations

import base64
import binascii
import io
import pickle
import zlib
from typing import Any, NoReturn

from crestfall.store.jsonl import loads

MAX_BYTES = 512 << 20


def unpacked(text: str) -> Any:
    """Unpacked tests. Raises ValueError: not packed tests, or more than 512 MiB of them."""
    try:
        unzip = zlib.decompressobj()
        data = unzip.decompress(base64.b64decode(text, validate=True), MAX_BYTES)
        if unzip.unconsumed_tail:
            raise ValueError(f"more than {MAX_BYTES >> 20} MiB of tests")
        return loads(_StringsOnly(io.BytesIO(data)).load())
    except (binascii.Error, zlib.error, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(str(error)) from None


class _StringsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")
