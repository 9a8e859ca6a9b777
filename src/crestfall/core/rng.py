"""Randomness by key path: every random number is a function of where it is used, never of what was drawn before.

`stream("sample", seed, campaign, step, task_id)` is the same stream in a fresh process, after a resume, in another
batch or on another worker. There is no global generator anywhere in crestfall.
"""

from __future__ import annotations

import hashlib

import numpy as np

Key = str | int


def digest(*path: Key) -> bytes:
    """32 bytes that identify a key path. `("a", 1)` and `("a1",)` differ: parts are length-prefixed and typed."""
    h = hashlib.blake2b(digest_size=32)
    for part in path:
        raw = f"{type(part).__name__}:{part}".encode()
        h.update(len(raw).to_bytes(4, "little"))
        h.update(raw)
    return h.digest()


def stream(*path: Key) -> np.random.Generator:
    """A counter-based generator (Philox) keyed by a path."""
    words = np.frombuffer(digest(*path)[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def seed_of(*path: Key) -> int:
    """A 63-bit seed for libraries that insist on one."""
    return int.from_bytes(digest(*path)[:8], "little") >> 1
