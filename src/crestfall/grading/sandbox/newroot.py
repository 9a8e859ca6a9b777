"""A file system of its own: Python's files, read-only, four devices and a small scratch. Nothing else has a name
there."""

from __future__ import annotations

import os

from crestfall.grading.sandbox import linux
from crestfall.grading.sandbox.paths import Readable
from crestfall.grading.sandbox.scratch import HOME

SCRATCH = "/scratch"
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_BASES = ("/mnt", "/tmp", "/media", "/srv", "/var", "/usr")


def enter(files: Readable, scratch_mib: int) -> None:
    """Make a new root of bind mounts and move there. Needs a mount namespace and its rights. Raises OSError."""
    # Mounted over a directory that hides none of the files, in this mount namespace alone.
    shown = [*files.below, *files.packages]
    base = next(b for b in _BASES if os.path.isdir(b) and not any(f"{path}/".startswith(f"{b}/") for path in shown))
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", base, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=4m,nr_inodes=8k,mode=755")
    for path in [*files.below, *DEVICES]:
        if os.path.exists(path):
            _bind(path, base + path)
    _hide(base, files)
    for path in files.links:
        os.symlink(os.readlink(path), base + path)
    os.makedirs(base + SCRATCH, exist_ok=True)
    if not os.path.lexists(f"{base}/tmp"):
        os.symlink(f"{SCRATCH}/{HOME}", f"{base}/tmp")
    os.makedirs(f"{base}/.old")
    linux.pivot_root(base, f"{base}/.old")
    os.chdir("/")
    linux.unmount("/.old")
    os.rmdir("/.old")
    linux.mount("none", "/", flags=linux.MS_REMOUNT | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV)
    mount_scratch(scratch_mib)


def _hide(base: str, files: Readable) -> None:
    """Mount an empty folder over each hidden one, and in it what is allowed."""
    flags = linux.MS_NOSUID | linux.MS_NODEV
    for path in files.hidden:
        linux.mount("tmpfs", base + path, "tmpfs", flags, "size=64k,nr_inodes=1k,mode=755")
    for path in files.packages:
        _bind(path, base + path)
    for path in files.hidden:
        linux.mount("none", base + path, flags=linux.MS_REMOUNT | linux.MS_RDONLY | flags)


def mount_scratch(mib: int) -> None:
    """Sized, and few inodes: Landlock does not bound either."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC | linux.MS_NOATIME
    linux.mount("tmpfs", SCRATCH, "tmpfs", flags, f"size={mib}m,nr_inodes=1k,mode=700")


def _bind(path: str, target: str) -> None:
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    linux.mount(path, target, flags=linux.MS_BIND | linux.MS_REC)
    locked = os.statvfs(target).f_flag
    # Read-only for devices too: they can be read and written still, and their files can no longer be changed, which
    # programs own where root starts the grader.
    flags = linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | linux.MS_NOSUID
    flags |= 0 if path.startswith("/dev/") else linux.MS_NODEV
    keep = (locked & os.ST_NOEXEC and linux.MS_NOEXEC) | (locked & os.ST_NOATIME and 0x400)
    keep |= locked & os.ST_RELATIME and 0x200000
    linux.mount("none", target, flags=flags | keep)
