"""Rows come out of every format and packing, one by one, and what is wrong is said with file and row."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import sys
import threading
import tracemalloc

import pytest

from crestfall.core.errors import InputError, MissingExtraError
from crestfall.store.rows import read_rows

ROWS = [{"task_id": "a", "n": 1, "tests": [{"x": [1, 2]}]}, {"task_id": "b", "n": -2.5, "tests": []}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ARRAY = json.dumps(ROWS, indent=1).encode()


def read(path, data: bytes):
    path.write_bytes(data)
    return [dict(row.data) for row in read_rows(path)]


@pytest.mark.parametrize("content", [LINES, ARRAY, b"\xef\xbb\xbf" + LINES, b"\xef\xbb\xbf" + ARRAY, b"\n" + LINES])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_lines_and_arrays_in_any_packing(tmp_path, content, pack):
    assert read(tmp_path / "no_suffix", pack(content)) == ROWS


@pytest.mark.parametrize("indent", [None, 1])
def test_one_object_holds_rows_by_task(tmp_path, indent):
    by_task = {row["task_id"]: {name: row[name] for name in ("n", "tests")} for row in ROWS}
    assert read(tmp_path / "p.json", json.dumps(by_task, indent=indent).encode()) == ROWS
    assert read(tmp_path / "p.json", json.dumps(ROWS[0], indent=indent).encode()) == ROWS[:1]


def test_zstandard(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.compress(LINES[: len(LINES) // 2]) + zstandard.compress(LINES[len(LINES) // 2 :])
    assert read(tmp_path / "p.jsonl.zst", packed) == ROWS
    for broken in (packed[: len(packed) // 3], packed[:6]):
        with pytest.raises(InputError, match=r"p\.zst"):
            read(tmp_path / "p.zst", broken)


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"task_id": str(i), "tests": {"input": ["1\n"] * i, "output": ["2\n"] * i}} for i in range(40)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    assert [dict(row.data) for row in read_rows(tmp_path / "p.parquet")] == rows
    for broken in (b"PAR1" + bytes(50) + b"PAR1", (tmp_path / "p.parquet").read_bytes()[:-20]):
        with pytest.raises(InputError, match=r"q\.parquet: not parquet"):
            read(tmp_path / "q.parquet", broken)


@pytest.mark.parametrize(
    ("library", "data"), [("pyarrow", b"PAR1" + bytes(20)), ("zstandard", b"\x28\xb5\x2f\xfd" + bytes(20))]
)
def test_a_missing_library_is_named_with_what_installs_it(tmp_path, monkeypatch, library, data):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library} is not installed: pip install 'crestfall\[formats\]'"):
        read(tmp_path / "p", data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[1]", r"p:1: .*a int is in it"),
        (b'[{"a": 1}, [2]]', r"p:2: .*a list is in it"),
        (b'[{"a": 1}', r"p:2: not JSON"),
        (b'[{"a": 1},', r"p:2: not JSON|p:2: Expecting"),
        (b'[{"a": 1}] x', r"p:2: not JSON: something stands behind"),
        (b'[{"a": 1} {"b": 2}]', r"p:2: not JSON"),
        (b'[{"a": nope}]', r"p:1: "),
        (b"[" * 100_000, r"p:1: "),
        (b"\xff\xfe", r"p:1: not UTF-8"),
        (b'[{"a": "\xff"}]', r"p:1: "),
        (gzip.compress(LINES, mtime=0)[:-9], r"p: broken or cut off"),
    ],
)
def test_what_is_broken_is_said(tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path / "p", data)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list(read_rows(tmp_path / "nope"))
    with pytest.raises(InputError, match="directory"):
        list(read_rows(tmp_path))
    assert read(tmp_path / "p", b"") == read(tmp_path / "p", b"[]") == []


@pytest.mark.parametrize("data", [LINES, ARRAY, gzip.compress(LINES, mtime=0)])
def test_a_pipe_is_read_once(tmp_path, data):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(data))
    writer.start()
    assert [dict(row.data) for row in read_rows(pipe)] == ROWS
    writer.join()


def test_integers_of_any_length(tmp_path):
    digits = "7" * 9000
    for data in (f'{{"n": {digits}}}', f'[{{"n": -{digits}}}]', f'{{"n": "[{digits}]"}}'):
        (tmp_path / "p").write_text(data)
        (row,) = read_rows(tmp_path / "p")
        value = row.embedded("n")
        assert abs(value[0] if isinstance(value, list) else value) % 10**9 == 777777777


@pytest.mark.parametrize("array", [True, False])
def test_a_large_file_is_not_held(tmp_path, array):
    path = tmp_path / "p"
    row = json.dumps({"task_id": "a", "tests": "x" * 1_000_000})
    with path.open("w") as file:
        file.write("[" if array else "")
        for i in range(60):
            file.write((("," if i else "") if array else "") + row + "\n")
        file.write("]" if array else "")
    tracemalloc.start()
    assert sum(1 for _ in read_rows(path)) == 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
