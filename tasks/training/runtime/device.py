"""The device to compute on, how its results are made reproducible, and how much memory it has left."""

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
    """The device of that name; auto prefers cuda, then mps, then cpu. Raises SettingsError if it is not available."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    names = [device for device in available if available[device]]
    if name == "auto":
        name = names[0]
    if name not in names:
        raise SettingsError(f"training.device: {name} is not available here; choose {', '.join(names)} or auto")
    if name == "cuda":  # cuBLAS reads it when the device is first used, and is deterministic only with it
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device(name)


@contextmanager
def deterministic_rng(device: torch.device, deterministic: bool) -> Iterator[None]:
    """A scope with its own PyTorch random numbers and, with `deterministic`, deterministic CUDA kernels.

    The CPU kernels used here are deterministic anyway (for the same number of threads); MPS would refuse some.
    """
    memory: Any = torch.utils.deterministic
    previous, fill = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    deterministic = deterministic and device.type == "cuda"
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = False  # nothing here reads memory that it has not written
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(previous)
            memory.fill_uninitialized_memory = fill


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A copy of a CPU tensor on the device. To a GPU it is copied from pinned memory, without waiting."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def free_bytes(device: torch.device) -> int | None:
    """Free memory of the device; None if the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    bounds = [_available_bytes(Path("/proc/meminfo")), _free_cgroup_bytes(Path("/sys/fs/cgroup"))]
    known = [bound for bound in bounds if bound is not None]
    if known:
        return min(known)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _available_bytes(meminfo: Path) -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _free_cgroup_bytes(group: Path) -> int | None:
    """What a container's limit leaves (cgroup v2); pages of cached files count as free."""
    try:
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return limit - used + int(statistics["active_file"]) + int(statistics["inactive_file"])
    except (OSError, KeyError, ValueError):  # no group, or its limit is "max"
        return None
