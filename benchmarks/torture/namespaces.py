"""Mounts, a hostname and process numbers of a process's own (Linux); they end with it."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Sequence
from pathlib import Path

NEW_MOUNTS, NEW_HOST, NEW_USER, NEW_PIDS = 0x00020000, 0x04000000, 0x10000000, 0x20000000
RECURSIVE, PRIVATE, BIND, REMOUNT, READ_ONLY = 0x4000, 0x40000, 0x1000, 0x20, 0x1

Mount = tuple[str, str, str]
"""Kind (tmpfs, bind, read-only), target, source or options."""


def enter(mounts: Sequence[Mount], host: str = "") -> None:
    """Makes the mounts.

    With a `host` it returns in a child, the first process of a machine of that name; this process ends as the child
    does.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    _require(libc.unshare(NEW_USER | NEW_MOUNTS | (NEW_HOST | NEW_PIDS if host else 0)), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _require(libc.mount(b"none", b"/", None, RECURSIVE | PRIVATE, None), "mount --make-rprivate /")
    if host:
        socket.sethostname(host)
        if child := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os._exit(code if code >= 0 else 128 - code)
        _require(libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount /proc")
    for kind, target, source in mounts:
        place = target.encode()
        if kind == "tmpfs":
            _require(libc.mount(b"none", place, b"tmpfs", 0, source.encode()), f"mount a tmpfs on {target}")
        else:
            _require(libc.mount(source.encode(), place, None, BIND, None), f"bind {source}")
        if kind == "read-only":
            _require(libc.mount(b"none", place, None, BIND | REMOUNT | READ_ONLY, None), f"remount {target}")


def _require(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), what)
