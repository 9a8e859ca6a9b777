"""JSON lines: every reader has the same word on blank lines, torn ends, missing newlines and what is no object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crestfall.analysis.importers.load import load
from crestfall.core.errors import InputError
from crestfall.guard.journal import Journal
from crestfall.store.events import Tail, read_events
from crestfall.store.jsonl import is_torn, lines_of, object_in, objects
from crestfall.store.rows import read_rows

A, B = b'{"step": 1, "reward": 0.5}', b'{"step": 2, "reward": 0.25}'


def read(raw: bytes, growing: bool = False) -> list[tuple[int, dict[str, object]]]:
    return list(objects(lines_of(raw), "f", growing=growing))


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        (b"", []),
        (b"\n \n", []),
        (A + b"\n" + B + b"\n", [1, 2]),
        (A + b"\n" + B, [1, 2]),
        (b"\xef\xbb\xbf" + A + b"\r\n\r\n" + B + b"\r\n", [1, 3]),
    ],
    ids=["empty", "blank", "whole", "no newline at the end", "BOM, CRLF and a blank line"],
)
def test_what_is_read(raw: bytes, numbers: list[int], growing: bool) -> None:
    assert [number for number, _ in read(raw, growing)] == numbers
    assert not is_torn(raw)


@pytest.mark.parametrize("torn", [B[:9], b"[1", b'{"a": "\xc3', b"x"])
def test_a_torn_end_is_left_out_of_a_growing_file_and_an_error_in_a_finished_one(torn: bytes) -> None:
    raw = A + b"\n" + torn
    assert is_torn(raw)
    assert len(read(raw, growing=True)) == 1
    with pytest.raises(InputError, match=r"^f:2: "):
        read(raw)
    with pytest.raises(InputError, match=r"^f:2: "):
        read(A + b"\n" + torn + b"\n" + A, growing=True)


@pytest.mark.parametrize("line", [b"[]", b"1", b"null", b"nope", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_said_with_its_line(line: bytes) -> None:
    with pytest.raises(InputError, match=r"^f:3: "):
        read(A + b"\n\n" + line + b"\n")
    assert object_in(line) is None


READERS: dict[str, Callable[[Path], int]] = {
    "events": lambda path: len(list(read_events(path))),
    "rows": lambda path: len(list(read_rows(path))),
    "import": lambda path: len(load([path])[0].steps_S),
    "tail": lambda path: len(Tail(path).new()),
}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_passes_over_blank_lines(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n" + A + b"\n\n" + B + b"\n \n")
    assert READERS[name](path) == 2


@pytest.mark.parametrize("name", ["events", "rows", "import"])
def test_every_reader_names_the_line_that_is_broken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(A + b"\n" + B[:9] + b"\n" + B + b"\n")
    with pytest.raises(InputError, match=f"{path}:2: "):
        READERS[name](path)


def test_the_guard_s_journal_names_it_too(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(A[:5] + b"\n")
    with pytest.raises(InputError, match=":1: not JSON"):
        Journal.open(tmp_path / "journal.jsonl")
