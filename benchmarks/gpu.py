"""Whether a GPU computes what the CPU computes, for every cell, reproducibly and without making a step wait.

    python -m benchmarks.gpu [--device cuda] [--json]

Compares the network's logits and gradients on padded windows: float32 on the device with float32 on the CPU, bfloat16
with float32. Without a GPU it compares the CPU's float32 with float64. The speed of the cells on a device:
`python -m benchmarks.cells --device cuda`.

Exits with 1 if a cell does not agree, is not reproducible or waits.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks.training.cells.cells import CELLS
from tasks.training.input.windows import Batch
from tasks.training.loop.optimizer import make_optimizer
from tasks.training.models.network import Architecture, Dropout, Network
from tasks.training.runtime.device import choose_device, deterministic_rng
from tasks.training.runtime.precision import autocast, supports_bfloat16

TOKENS, LABELS, WINDOW, WINDOWS = 500, 7, 61, 9
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}
"""Norm of a tensor's difference over the tensor's norm. A rounding to bfloat16 is up to 0.4 %, and steps add up."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    torch.backends.cudnn.allow_tf32 = False  # here float32 means float32
    rows = [agreement(cell, device) for cell in CELLS]
    if arguments.json:
        print(json.dumps(rows))
    else:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU: float32 against float64"
        print(f"{device.type} ({name}), torch {torch.__version__}\n")
        print(f"{'cell':<10}{'float32 error':>14}{'bfloat16 error':>16}{'repeats':>9}{'waits':>7}  problems")
        for row in rows:
            bfloat16 = "—" if row["bfloat16_error"] is None else f"{row['bfloat16_error']:.1e}"
            facts = f"{row['float32_error']:>14.1e}{bfloat16:>16}{row['repeats']!s:>9}{bool(row['waits'])!s:>7}"
            print(f"{row['cell']:<10}{facts}  {'; '.join(row['problems'])}")
    sys.exit(1 if any(row["problems"] for row in rows) else 0)


def agreement(cell: str, device: torch.device) -> Row:
    """The largest relative errors of logits and gradients, and everything that is wrong."""
    expected = results(cell, torch.device("cpu"), torch.float64 if device.type == "cpu" else torch.float32, "float32")
    precisions = ["float32", *(["bfloat16"] if supports_bfloat16(cell, device) else [])]
    errors: dict[str, float] = {}
    problems = []
    for precision in precisions:
        for name, value in results(cell, device, torch.float32, precision).items():
            error = float((value - expected[name]).norm() / expected[name].norm().clamp(min=1e-12))
            errors[precision] = max(errors.get(precision, 0.0), error)
            if not error <= TOLERANCES[precision]:
                problems.append(f"{name} in {precision}: {error:.1e}")
    repeats, waits = _repeats(cell, device), _waits(cell, device)
    problems += [] if repeats else ["two trainings of three steps end in different weights"]
    problems += [f"a step waits: {waits}"] if waits else []
    row = {"cell": cell, "float32_error": errors["float32"], "bfloat16_error": errors.get("bfloat16")}
    return {**row, "repeats": repeats, "waits": waits, "problems": problems}


def results(cell: str, device: torch.device, dtype: torch.dtype, precision: str) -> dict[str, Tensor]:
    """Logits, and the gradient of each weight, as float64 on the CPU."""
    network = _network(cell).to(device, dtype)
    batch, labels = _batch(device, dtype)
    with autocast(precision, device):
        logits = network(batch)
    functional.cross_entropy(logits.to(dtype), labels).backward()  # type: ignore[no-untyped-call]
    gradients = {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}
    return {name: value.detach().cpu().double() for name, value in {"logits": logits, **gradients}.items()}


def _network(cell: str, dropout: float = 0.0) -> Network:
    """Two layers, with an output layer that is not zero, so that gradients reach every weight."""
    torch.manual_seed(0)
    network = Network(Architecture(LABELS, TOKENS, LABELS, 24, 20, 2, True, cell), Dropout(*[dropout] * 4))
    torch.nn.init.normal_(network.output.weight, std=0.1)
    return network


def _batch(device: torch.device, dtype: torch.dtype) -> tuple[Batch, Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = torch.arange(WINDOWS) * 7 + 5
    tokens = torch.randint(2, TOKENS, (WINDOW, WINDOWS), generator=generator)
    evidence = torch.randn(WINDOW, WINDOWS, 2 * LABELS, generator=generator).to(dtype)
    outside = torch.arange(WINDOW).unsqueeze(1) >= lengths
    batch = Batch(tokens.masked_fill(outside, 0), evidence.masked_fill(outside.unsqueeze(2), 0), lengths)
    return batch.to(device), torch.randint(LABELS, (WINDOWS,), generator=generator).to(device)


class _Steps:
    """A training with dropout on one batch."""

    def __init__(self, cell: str, device: torch.device) -> None:
        self.network = _network(cell, dropout=0.2).to(device)
        self.batch, self.labels = _batch(device, torch.float32)
        self.optimizer = make_optimizer(self.network, 1e-3, 0.01)

    def run(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(self.network(self.batch), self.labels).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()


def _repeats(cell: str, device: torch.device) -> bool:
    weights = []
    for _ in range(2):
        with deterministic_rng(device, deterministic=True):
            steps = _Steps(cell, device)
            for _ in range(3):
                steps.run()
            weights.append([weight.detach().cpu() for weight in steps.network.parameters()])
    return all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def _waits(cell: str, device: torch.device) -> str:
    """What in a step waits for the device; empty if nothing does, or on the CPU."""
    if device.type != "cuda":
        return ""
    steps = _Steps(cell, device)
    steps.run()  # compiles and allocates
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps.run()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return ""


if __name__ == "__main__":
    main()
