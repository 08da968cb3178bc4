"""Whether a device computes what the CPU computes, reproducibly, and without making a step wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.steps import LABELS, TrainingStep, build_model
from tasks.training.cells.cells import token_mask
from tasks.training.models.language_model import LanguageModel, LanguageModelArchitecture
from tasks.training.models.recurrent import RecurrentArchitecture
from tasks.training.models.window_classifier import WindowArchitecture
from tasks.training.runtime.device import deterministic_rng
from tasks.training.runtime.precision import autocast, supports_bfloat16

VOCABULARY, EMBEDDING, HIDDEN = 500, 48, 40
WINDOW, BATCH = 61, 9
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}
"""Norm of a tensor's difference over the tensor's norm. A rounding to bfloat16 is up to 0.4 %, and steps add up."""


def small_architecture(cell: str, objective: str) -> RecurrentArchitecture:
    """Sizes of a small model of an objective.

    States are pooled by their mean: the gradient of a maximum jumps from step to step with the last bit.
    """
    if objective == "language":
        return LanguageModelArchitecture(VOCABULARY, cell, EMBEDDING, HIDDEN, layers=1, bidirectional=True)
    return WindowArchitecture(VOCABULARY, cell, EMBEDDING, HIDDEN, 2, True, LABELS, "mean", True)


def agreement(cell: str, objective: str, device: torch.device) -> dict[str, Any]:
    """The largest relative errors of logits and gradients, and everything that is wrong."""
    architecture = small_architecture(cell, objective)
    torch.manual_seed(0)
    weights = build_model(architecture).state_dict()
    cpu = torch.device("cpu")
    problems = []
    errors = {"float32": 0.0, "bfloat16": 0.0}
    precisions = ["float32", *(["bfloat16"] if supports_bfloat16(cell, device) else [])]
    for lengths in (None, torch.arange(BATCH) * 7 + 5):
        exact = torch.float64 if device.type == "cpu" else torch.float32
        with _without_tf32():
            expected = _results(architecture, weights, lengths, cpu, exact, "float32")
            for precision in precisions:
                results = _results(architecture, weights, lengths, device, torch.float32, precision)
                for name, value in results.items():
                    error = _relative_error(value, expected[name])
                    errors[precision] = max(errors[precision], error)
                    if not error <= TOLERANCES[precision]:
                        problems.append(f"{name} in {precision}{' padded' if lengths is not None else ''}: {error:.1e}")
    repeats = _repeats(architecture, device)
    waits = _waits(architecture, device)
    problems += [] if repeats else ["two trainings of three steps end in different weights"]
    problems += [f"a step waits: {waits}"] if waits else []
    return {
        "cell": cell,
        "objective": objective,
        "float32_error": errors["float32"],
        "bfloat16_error": errors["bfloat16"] if "bfloat16" in precisions else None,
        "repeats": repeats,
        "waits": None if device.type != "cuda" else bool(waits),
        "agrees": not problems,
        "problems": problems,
    }


def _results(
    architecture: RecurrentArchitecture,
    weights: dict[str, Tensor],
    lengths: Tensor | None,
    device: torch.device,
    dtype: torch.dtype,
    precision: str,
) -> dict[str, Tensor]:
    """Logits, and the gradient of each weight, as float64 on the CPU."""
    model = build_model(architecture)
    model.load_state_dict(weights)
    model.to(device, dtype)
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, architecture.vocabulary_size, (WINDOW, BATCH), generator=generator).to(device)
    labels = torch.randint(LABELS, (BATCH,), generator=generator).to(device)
    with autocast(precision, device):
        if isinstance(model, LanguageModel):
            positions = torch.arange(0, WINDOW, 3, device=device)
            logits = model.logits(model.encode(ids, lengths)[1], lengths, positions)
            if lengths is not None:  # those of padding are unspecified
                logits = logits * token_mask(WINDOW, lengths, device)[positions].unsqueeze(-1)
            losses, _, count = model.loss(ids, lengths, positions)
            loss = losses / count
        else:
            logits = model(ids, lengths)
            loss = functional.cross_entropy(logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    named = [(name, weight.grad) for name, weight in model.named_parameters()]
    gradients = {f"gradient of {name}": gradient for name, gradient in named if gradient is not None}
    return {name: value.detach().cpu().double() for name, value in {"logits": logits, **gradients}.items()}


def _relative_error(result: Tensor, expected: Tensor) -> float:
    return float((result - expected).norm() / expected.norm().clamp(min=1e-12))


@contextmanager
def _without_tf32() -> Iterator[None]:
    """cuDNN uses TF32 by default; here float32 means float32."""
    previous = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = previous


def _repeats(architecture: RecurrentArchitecture, device: torch.device) -> bool:
    weights = []
    for _ in range(2):
        with deterministic_rng(device, deterministic=True):
            step = TrainingStep(architecture, WINDOW, BATCH, device)
            for _ in range(3):
                step.run()
            weights.append([weight.detach().cpu() for weight in step.model.parameters()])
    return all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def _waits(architecture: RecurrentArchitecture, device: torch.device) -> str:
    """What in a step waits for the device; empty if nothing does, or on the CPU."""
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
