"""Put worker and zygote behind every isolation layer that this kernel gives, and say which ones those are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crestfall.grading.sandbox import landlock, linux, newroot, paths, seccomp
from crestfall.grading.sandbox.scratch import HOME, private_folder
from crestfall.grading.sandbox.zygote import Settings

_NAMESPACES = {
    "mount": linux.CLONE_NEWNS,
    "net": linux.CLONE_NEWNET,
    "ipc": linux.CLONE_NEWIPC,
    "uts": linux.CLONE_NEWUTS,
}
NOBODY = 65534
_TRUNCATING = 3  # the version of Landlock from which on no file outside can be cut off


@dataclass(frozen=True)
class Confinement:
    """`layers` in force, the zygote's settings, whether it shall have process numbers of its own, and `seal`: what
    worker and zygote each do for themselves at last."""

    layers: dict[str, str]
    settings: Settings
    own_pids: bool
    seal: Callable[[], None]


def enter(options: dict[str, Any]) -> Confinement:
    """Everything that can be done before the zygote is forked.

    Raises OSError where not even no_new_privs can be had, or a layer fails half-way.
    """
    without = set(options["without"])
    layers = {"process": "one fork per program", "rlimits": "CPU, address space, output, descriptors"}
    files = paths.readable(options["site"], options["packages"])
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    layers["no_new_privs"] = "on"
    writable, home = [], None
    own_pids = "namespaces" not in without and _succeeds(_namespaces, lambda: linux.unshare(linux.CLONE_NEWPID))
    if own_pids:
        layers["namespaces"] = f"user, pid, {', '.join(_NAMESPACES)}"
        if "root" not in without and _succeeds(lambda: _new_root(files, options["scratch_mib"])):
            layers["root"] = f"{len(files.below)} read-only paths, {options['scratch_mib']} MiB of scratch"
            writable, home = [newroot.SCRATCH], os.path.join(newroot.SCRATCH, HOME)
    elif (
        "uid" not in without
        and os.geteuid() == 0
        and _readable_by_anybody([*files.below, *files.packages])
        and _succeeds(_become_nobody)
    ):
        layers["uid"] = "nobody"
    use_landlock = "landlock" not in without and landlock.version() > 0
    use_seccomp = "seccomp" not in without
    shared = False  # with other folders, in a file system whose size bounds nothing
    if home is None and use_seccomp and landlock.version() >= _TRUNCATING and use_landlock:
        home = private_folder()
        writable, shared = [home] if home else [], home is not None
    if use_landlock:
        layers["landlock"] = f"version {landlock.version()}" + (f", files written below {home} alone" if shared else "")
    if use_seccomp:
        layers["seccomp"] = "allowed calls only" + ("" if home else ", no file opened for writing")
    layers["capabilities"] = "none"
    exactly = files.without_hidden() if use_landlock else []
    paths.allow_packages(options["site"], options["packages"])
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(__file__)]
    settings = Settings(
        options["cpu_seconds"],
        options["wall_seconds"],
        options["memory_mib"] << 20,
        options["output_bytes"],
        use_seccomp,
        home,
        options["scratch_mib"] << 20 if shared else None,
        bool(options["packages"]),
        options["every_test"],
        options["keep_output"],
    )

    def seal() -> None:
        linux.drop_capabilities()
        if use_landlock:
            landlock.restrict([*exactly, *newroot.DEVICES], writable, files.parents())
        if use_seccomp:
            seccomp.install(seccomp.base_filter(may_write=home is not None))
        # Last, for it closes our own /proc to us: no other process of this user reads our memory, whatever it may open.
        linux.prctl(linux.PR_SET_DUMPABLE, 0)

    return Confinement(layers, settings, own_pids, seal)


def _succeeds(step: Callable[[], None], later: Callable[[], None] = lambda: None) -> bool:
    """Tried in a fork first: failing half-way must not leave this process in a half-made namespace or root.

    `later`: what has to be possible after it, and is not done yet.
    """
    child = os.fork()
    if child == 0:
        try:
            step()
            later()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        return False
    step()
    return True


def _namespaces() -> None:
    """Enter a user namespace and, with its rights, the others. Root without CAP_SETFCAP cannot map itself there."""
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER | sum(_NAMESPACES.values()))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _new_root(files: paths.Readable, scratch_mib: int) -> None:
    linux.unshare(linux.CLONE_NEWNS)
    newroot.enter(files, scratch_mib)


def _readable_by_anybody(files: list[str]) -> bool:
    """Could nobody still import Python's modules? Not where root's Python lives in root's home."""
    return all(_open_to_all(path) for path in files)


def _open_to_all(path: str) -> bool:
    while path != "/":
        if not os.stat(path).st_mode & 0o005:
            return False
        path = os.path.dirname(path)
    return True


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
