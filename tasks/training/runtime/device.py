"""Which device computes, how it is made to repeat itself, and how much memory it has left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasks.shared.errors import SettingsError


def choose_device(name: str) -> torch.device:
    """The device of that name; auto takes cuda, else mps, else cpu. Raises SettingsError where it is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, found in there.items() if found)
    if not there[name]:
        found = ", ".join(device for device in there if there[device])
        raise SettingsError(
            f"training.device: {name} is not available here (found: {found}); choose one of them or auto"
        )
    if name == "cuda":  # cuBLAS reads it once, when the device is first used, and repeats itself only with it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device(name)


def check_processes(processes: int, device: torch.device) -> None:
    """Raises SettingsError where the device has no room for so many processes."""
    if processes > 1 and device.type == "mps":
        raise SettingsError(f"training.processes: {processes}, but mps serves one; choose 1, or training.device: cpu")
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise SettingsError(
            f"training.processes: {processes}, but there are {torch.cuda.device_count()} GPUs here, and each process "
            "takes one; choose no more, or training.device: cpu"
        )


@contextmanager
def repeatable(device: torch.device, deterministic: bool) -> Iterator[None]:
    """Inside: PyTorch's random numbers are ours, and with `deterministic` its kernels repeat; after: all as before.

    On the CPU all kernels used here repeat anyhow (for the same number of threads), and on MPS it would refuse some.
    """
    memory: Any = torch.utils.deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    deterministic = deterministic and device.type == "cuda"
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = False  # nothing here reads what it has not written
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            memory.fill_uninitialized_memory = filled


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A copy of what lies on the CPU. To a GPU it goes from pinned memory, and nothing waits until it is there."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def free_bytes(device: torch.device) -> int | None:
    """Memory that training could still take on the device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    bounds = [_available(Path("/proc/meminfo")), _left_in_group(Path("/sys/fs/cgroup"))]
    known = [bound for bound in bounds if bound is not None]
    if known:
        return min(known)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _available(meminfo: Path) -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _left_in_group(group: Path) -> int | None:
    """What a container's limit leaves (cgroup v2); the pages of files in the cache can be taken back."""
    try:
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        found = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + int(found["active_file"]) + int(found["inactive_file"])
    except (OSError, KeyError, ValueError):  # no group, or its limit is "max"
        return None
