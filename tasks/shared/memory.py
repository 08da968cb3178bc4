"""What bounds the memory of this process, and which settings need less: for the message when it ran out."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MIB = 2**20
NEED_LESS = {
    "linear": "linear.characters_max_megabytes, linear.words_max_megabytes or runner.workers",
    "training": "training.max_megabytes, training.batch_size or runner.workers",
    "evaluation": "linear.words_max_megabytes or runner.workers",
    "predict": "--part-rows",
}
"""The settings that a stage's memory depends on; that of the others grows with `runner.workers` alone."""


def what_to_do(stage: str, cgroup: Path = CGROUP) -> str:
    """The settings to lower, and the limit to raise, after memory ran out in a stage (or before one: empty)."""
    limit = _limit(cgroup)
    more = f"raise the limit of {limit}" if limit else "free memory"
    return f"lower {NEED_LESS.get(stage, 'runner.workers')}, or {more}, and run again"


def _limit(cgroup: Path) -> str:
    """The tightest limit of this process, with its name; empty if there is none."""
    limits = {}
    for kind, name in ((resource.RLIMIT_AS, "ulimit -v"), (resource.RLIMIT_DATA, "ulimit -d")):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            limits[name] = soft
    with suppress(OSError, ValueError):  # no group, or its limit is "max"
        limits["the container's memory"] = int((cgroup / "memory.max").read_text())
    if not limits:
        return ""
    name = min(limits, key=lambda some: limits[some])
    return f"{limits[name] / MIB:,.0f} MiB ({name})"
