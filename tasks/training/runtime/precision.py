"""The precision of training steps: float32, or bfloat16 if matrix products gain by it.

With bfloat16 (autocast), weights, optimizer, sums and the loss stay float32, and so do an RNN's states on the CPU; on a
GPU the minimal cells accumulate states in float32 and store them as bfloat16. Validation and prediction always compute
in float32, so that an epoch is judged by the predictions that its model will make.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from functools import cache

import torch

from tasks.shared.errors import SettingsError
from tasks.training.cells.cells import CELLS

BFLOAT16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""Processor capabilities (x86, x86 and ARM) without which bfloat16 products are emulated."""
log = logging.getLogger("corpusflow.training")


def choose_precision(name: str, cell: str, device: torch.device) -> str:
    """The precision of that name for a cell on a device; auto chooses bfloat16 on a GPU that has it, else float32.

    On the CPU auto is float32, which gives the same results as on other machines. Raises SettingsError for bfloat16 if
    the cell cannot compute in it.
    """
    if name == "float32" or (name == "auto" and not _has_native_bfloat16(device)):
        return "float32"
    if supports_bfloat16(cell, device):
        if device.type == "cpu" and not any(torch.cpu.get_capabilities().get(i, False) for i in BFLOAT16_INSTRUCTIONS):
            log.warning("training: this processor emulates bfloat16; float32 would be faster")
        return "bfloat16"
    if name == "auto":
        log.warning("training: %s does not compute in bfloat16 on %s, using float32", cell, device)
        return "float32"
    raise SettingsError(
        f"training.precision: the cell {cell} cannot compute in bfloat16 on {device}; choose float32 or auto"
    )


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """A scope whose forward passes compute in `precision`; losses stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


@cache
def supports_bfloat16(cell: str, device: torch.device) -> bool:
    """Whether a tiny forward and backward pass through the cell runs in bfloat16 and stays finite.

    cuDNN's cells use float16 instead (PyTorch's autocast casts them to it), in which small gradients vanish.
    """
    if cell not in CELLS:  # a control, which has a matrix product alone
        return True
    with torch.random.fork_rng(devices=[]):
        layer = CELLS[cell](8, 8, True)
    try:
        layer.to(device)
        with autocast("bfloat16", device):
            states = layer(torch.ones(4, 2, 8, device=device), None)
        states.float().sum().backward()
    except Exception as error:  # a kernel may be missing, or not compile, in many ways
        log.info("training: %s in bfloat16 on %s: %s", cell, device, error)
        return False
    if states.dtype == torch.float16:
        return False
    return all(bool(weight.grad is not None and weight.grad.isfinite().all()) for weight in layer.parameters())


def _has_native_bfloat16(device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
