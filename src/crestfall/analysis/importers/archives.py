"""Archives of logs (.zip, .tar and packed ones): unpacked into a folder for as long as they are read."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path

from crestfall.core.errors import InputError
from crestfall.store.opened import opened

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz", ".tar.zst")
LARGEST = 8 << 30
"""Bytes that an archive may unpack to."""

# What the decompressors raise has no root in common; a password and an unknown method are RuntimeErrors.
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def unpacked(path: Path, folder: Path) -> Path:
    """The only file of an archive, or `folder` with all of them in it.

    Raises:
        InputError: it is damaged, holds no file, is too large, or would write outside of `folder`.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_size(path, sum(info.file_size for info in archive.infolist()))
                archive.extractall(folder)
        else:
            with opened(path) as plain, tarfile.open(fileobj=plain, mode="r|") as stream:
                size = 0
                for member in stream:
                    size += member.size
                    _check_size(path, size)
                    _extract(stream, member, folder)
    except _BROKEN as error:
        raise InputError(f"{path}: the archive cannot be unpacked: {error}") from None
    files = [file for file in folder.rglob("*") if file.is_file()]
    if not files:
        raise InputError(f"{path}: the archive holds no file; expected logs")
    return files[0] if len(files) == 1 else folder


def _extract(stream: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write a file's content; links and devices are no logs. (`extract` has a filter for it from Python 3.11.4 on.)"""
    target = folder / member.name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise tarfile.TarError(f"its member {member.name!r} would be written outside the target folder")
    content = stream.extractfile(member) if member.isfile() else None
    if content is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)


def _check_size(path: Path, size: int) -> None:
    if size > LARGEST:
        raise InputError(f"{path}: the archive unpacks to more than {LARGEST >> 30} GiB; unpack what you need yourself")
