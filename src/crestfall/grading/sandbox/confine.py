"""Put worker and zygote behind every isolation layer that this kernel gives, and say which ones those are."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from crestfall.grading.sandbox import linux, seccomp
from crestfall.grading.sandbox.zygote import Settings

_NAMESPACES = {
    "mount": linux.CLONE_NEWNS,
    "pid": linux.CLONE_NEWPID,
    "net": linux.CLONE_NEWNET,
    "ipc": linux.CLONE_NEWIPC,
    "uts": linux.CLONE_NEWUTS,
}
INSIDE_ID = 65534


def enter(options: dict[str, Any]) -> tuple[dict[str, str], Settings, Callable[[], None]]:
    """What has to happen before the zygote is forked; and `prepare`, which worker and zygote then each do for
    themselves.

    Returns the layers in force, the zygote's settings, and `prepare`.
    """
    without = set(options["without"])
    layers = {"rlimits": "CPU, address space, output, descriptors"}
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    layers["no_new_privs"] = "on"
    if "namespaces" not in without:
        layers |= namespaces()
    use_seccomp = "seccomp" not in without
    if use_seccomp:
        layers["seccomp"] = "allowed calls only"
    settings = Settings(
        options["cpu_seconds"],
        options["wall_seconds"],
        options["memory_mib"] << 20,
        options["output_bytes"],
        use_seccomp,
        None,
    )

    def prepare() -> None:
        linux.drop_capabilities()
        if use_seccomp:
            seccomp.install(seccomp.base_filter(may_write=False))

    return layers, settings, prepare


def namespaces() -> dict[str, str]:
    """Enter a user namespace and, with its rights, the others. An empty dict where the kernel refuses."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        linux.unshare(linux.CLONE_NEWUSER | sum(_NAMESPACES.values()))
    except OSError:
        return {}
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{INSIDE_ID} {uid} 1"),
        ("gid_map", f"{INSIDE_ID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return {"namespaces": f"user, {', '.join(_NAMESPACES)}"}
