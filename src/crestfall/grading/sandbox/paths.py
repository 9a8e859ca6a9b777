"""Which files a program may read: Python's standard library, the C libraries it is linked with, and packages that were
allowed."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")


def readable(site: str, packages: Sequence[str]) -> list[str]:
    """Directories and files, each once, outermost first where they nest."""
    standard = [
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        sysconfig.get_config_var("LIBDIR") or "",
    ]
    paths = [*standard, *LIBRARIES, *(path for name in packages for path in package_paths(site, name))]
    found = sorted({os.path.realpath(path) for path in paths if path and os.path.exists(path)})
    outermost = [p for p in found if not any(p != q and p.startswith(q + "/") for q in found)]
    links = [path for path in LIBRARIES if os.path.islink(path)]
    return outermost + links


def package_paths(site: str, name: str) -> list[str]:
    """A package's directory or module in site-packages, and the shared libraries that its wheel brought
    (`numpy.libs`)."""
    return [path for part in (name, f"{name}.py", f"{name}.libs") if os.path.exists(path := os.path.join(site, part))]


class PackageFinder(MetaPathFinder):
    """Finds the allowed packages, and only those, in site-packages: it is not on `sys.path`, where its listing would be
    read."""

    def __init__(self, site: str, packages: Sequence[str]) -> None:
        self._site, self._packages = site, frozenset(packages)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is not None or fullname not in self._packages:
            return None
        directory = os.path.join(self._site, fullname)
        package = os.path.isdir(directory)
        origin = os.path.join(directory, "__init__.py") if package else f"{directory}.py"
        if not os.path.exists(origin):
            return None
        loader = importlib.machinery.SourceFileLoader(fullname, origin)
        places = [directory] if package else None
        return importlib.util.spec_from_file_location(
            fullname, origin, loader=loader, submodule_search_locations=places
        )


def allow_packages(site: str, packages: Sequence[str]) -> None:
    if packages:
        sys.meta_path.append(PackageFinder(site, packages))
