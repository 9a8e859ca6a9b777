"""Descriptions of what each isolation layer stops, for `crestfall grade --explain-sandbox`."""

from __future__ import annotations

from collections.abc import Mapping

STOPS = {
    "process": "each program is a fork of a process that holds no answers; comparing happens elsewhere",
    "rlimits": "endless loops, memory, output, open files, core dumps",
    "no_new_privs": "gaining rights through set-user-id programs",
    "capabilities": "rights of root, where root starts the grader",
    "seccomp": "network, new processes and programs, signals to others, ptrace, mounts, io_uring, bpf, keys",
    "landlock": "reading anything but Python's own files, writing outside a program's folder, abstract sockets",
    "namespaces": "seeing or outliving: processes, network interfaces, IPC, host names, mounts of the host",
    "root": "every file of the host but Python's own (read-only); scratch is emptied after each program",
    "threads": "filling the machine with threads, which rlimits do not count for each program",
    "uid": "files and processes of the user that trains (where root starts the grader without namespaces)",
}


def describe(layers: Mapping[str, str]) -> list[str]:
    """One line per layer, in force or not."""
    return [
        f"{'on ' if name in layers else 'OFF'}  {name:<13} {layers.get(name, 'not given by this kernel or left out')}\n"
        f"     {'stops' if name in layers else 'would stop'}: {stops}"
        for name, stops in STOPS.items()
    ]
