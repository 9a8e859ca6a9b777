"""Files that a program may read: Python's standard library, the C libraries it is linked with, and allowed
packages."""

from __future__ import annotations

import glob
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from types import ModuleType

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
OTHERS = ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/usr/lib/locale")
_PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Readable:
    """`below`: directories and files, each once, outermost first where they nest, but for what lies in `hidden`:
    folders of installed packages, some of which ship the answers to a benchmark. `packages`: what is allowed in there.
    `links`: symbolic links that lead to some of it.
    """

    below: list[str]
    hidden: list[str]
    packages: list[str]
    links: list[str]

    def without_hidden(self) -> list[str]:
        """The same as a list that leaves nothing to be taken out again, as Landlock needs it."""
        return [path for top in self.below for path in _around(top, self.hidden)] + self.packages

    def parents(self) -> list[str]:
        """Directories whose listing imports need, where not all below them can be read."""
        return sorted({parent for path in self.hidden if (parent := os.path.dirname(path)) != "/"})


def readable(site: str, packages: Sequence[str]) -> Readable:
    shared = sysconfig.get_config_var("LIBDIR") or ""
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *OTHERS, *map(_with_libraries, LIBRARIES)]
    paths += glob.glob(f"{glob.escape(shared)}/*.so*") if shared else []
    allowed = {os.path.realpath(path) for name in packages for path in package_paths(site, name)}
    found = sorted({os.path.realpath(path) for path in paths if path and os.path.exists(path)})
    outermost = [p for p in found if not any(p != q and p.startswith(q + "/") for q in found)]
    links = [path for path in LIBRARIES if os.path.islink(path)]
    hidden = sorted({path for top in outermost for name in _PACKAGES for path in _folders(top, name)})
    beyond = [p for p in sorted(allowed) if _within(p, hidden) or not _within(p, outermost)]
    return Readable(outermost, hidden, beyond, links)


def _with_libraries(base: str) -> str:
    """The library folder for this kind of machine, which holds all libraries if it exists."""
    own = os.path.join(base, sysconfig.get_config_var("MULTIARCH") or "none")
    return own if os.path.isdir(own) else base


def _folders(top: str, name: str) -> list[str]:
    top = glob.escape(top)
    return [path for place in (top, f"{top}/python*") for path in glob.glob(f"{place}/{name}") if os.path.isdir(path)]


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _around(top: str, hidden: Sequence[str]) -> list[str]:
    if top in hidden:
        return []
    if not any(path.startswith(f"{top}/") for path in hidden):
        return [top]
    return [path for name in sorted(os.listdir(top)) for path in _around(os.path.join(top, name), hidden)]


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
