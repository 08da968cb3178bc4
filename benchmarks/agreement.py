"""Whether a device computes a cell as the CPU does, again and again the same, and without being waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.steps import LABELS, TrainingStep, make
from tasks.training.cells.cells import inside_mask
from tasks.training.models.language_model import Reader, ReaderArchitecture
from tasks.training.models.window_classifier import Architecture
from tasks.training.runtime.device import repeatable
from tasks.training.runtime.precision import computes_bfloat16, computing_in

VOCABULARY, EMBEDDING, HIDDEN = 500, 48, 40
WINDOW, BATCH = 61, 9
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}
"""Norm of a tensor's difference over the tensor's norm. A rounding to bfloat16 is up to 0.4 %, and steps add up."""


def small(cell: str, objective: str) -> Architecture | ReaderArchitecture:
    """The model that an objective trains, small.

    States are pooled to their mean: a maximum's gradient jumps from step to step with the last bit.
    """
    if objective == "language":
        return ReaderArchitecture(VOCABULARY, cell, EMBEDDING, HIDDEN, layers=1, bidirectional=True)
    return Architecture(VOCABULARY, LABELS, cell, EMBEDDING, HIDDEN, 2, True, "mean", True)


def agreement(cell: str, objective: str, device: torch.device) -> dict[str, Any]:
    """How far logits and gradients are off at most, and what is wrong."""
    architecture = small(cell, objective)
    torch.manual_seed(0)
    weights = make(architecture).state_dict()
    cpu = torch.device("cpu")
    problems = []
    off = {"float32": 0.0, "bfloat16": 0.0}
    precisions = ["float32", *(["bfloat16"] if computes_bfloat16(cell, device) else [])]
    for lengths in (None, torch.arange(BATCH) * 7 + 5):
        exact = torch.float64 if device.type == "cpu" else torch.float32
        with _no_shortcuts():
            wanted = _results(architecture, weights, lengths, cpu, exact, "float32")
            for precision in precisions:
                found = _results(architecture, weights, lengths, device, torch.float32, precision)
                for name, value in found.items():
                    error = _difference(value, wanted[name])
                    off[precision] = max(off[precision], error)
                    if not error <= TOLERANCES[precision]:
                        problems.append(f"{name} in {precision}{' padded' if lengths is not None else ''}: {error:.1e}")
    repeats = _repeats(architecture, device)
    waits = _waits(architecture, device)
    problems += [] if repeats else ["two trainings of three steps end in different weights"]
    problems += [f"a step waits: {waits}"] if waits else []
    return {
        "cell": cell,
        "objective": objective,
        "float32_error": off["float32"],
        "bfloat16_error": off["bfloat16"] if "bfloat16" in precisions else None,
        "repeats": repeats,
        "waits": None if device.type != "cuda" else bool(waits),
        "agrees": not problems,
        "problems": problems,
    }


def _results(
    architecture: Architecture | ReaderArchitecture,
    weights: dict[str, Tensor],
    lengths: Tensor | None,
    device: torch.device,
    dtype: torch.dtype,
    precision: str,
) -> dict[str, Tensor]:
    """Logits, and the gradient of each weight, as float64 on the CPU."""
    model = make(architecture)
    model.load_state_dict(weights)
    model.to(device, dtype)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, architecture.vocabulary_size, (WINDOW, BATCH), generator=generator).to(device)
    labels = torch.randint(LABELS, (BATCH,), generator=generator).to(device)
    with computing_in(precision, device):
        if isinstance(model, Reader):
            positions = torch.arange(0, WINDOW, 3, device=device)
            logits = model.tell(model.read(ids, lengths)[1], lengths, positions)
            if lengths is not None:  # what is told of padding is nobody's
                logits = logits * inside_mask(WINDOW, lengths, device)[positions].unsqueeze(-1)
            losses, _, count = model.told(ids, lengths, positions)
            loss = losses / count
        else:
            logits = model(ids, lengths)
            loss = functional.cross_entropy(logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    named = [(name, weight.grad) for name, weight in model.named_parameters()]
    gradients = {f"gradient of {name}": gradient for name, gradient in named if gradient is not None}
    return {name: value.detach().cpu().double() for name, value in {"logits": logits, **gradients}.items()}


def _difference(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))


@contextmanager
def _no_shortcuts() -> Iterator[None]:
    """Without TF32, which cuDNN takes by itself: float32 is to be float32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _repeats(architecture: Architecture | ReaderArchitecture, device: torch.device) -> bool:
    ends = []
    for _ in range(2):
        with repeatable(device, deterministic=True):
            step = TrainingStep(architecture, WINDOW, BATCH, device)
            for _ in range(3):
                step.run()
            ends.append([weight.detach().cpu() for weight in step.model.parameters()])
    return all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def _waits(architecture: Architecture | ReaderArchitecture, device: torch.device) -> str:
    """What in a step waits for the device; empty on the CPU, or if nothing does."""
    step = TrainingStep(architecture, WINDOW, BATCH, device)
    step.run()  # compiles and allocates
    if device.type != "cuda":
        return ""
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.run()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return ""
