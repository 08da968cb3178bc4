"""Training and inference speed of the recurrent layers at any width and window, against PyTorch's GRU and a floor.

    python -m benchmarks.cells [--widths 64 256 1024] [--windows 64 512 4096] [--full] [--rounds 4] [--json]

One bidirectional layer alone, on random inputs that require a gradient. A training step is forward and backward. The
floor is the time of the cell's matrix products alone, forward and backward, by the faster of torch.mm and oneDNN, plus
the time to read and write each activation (product outputs and states) once each way, at the bandwidth of a large copy
in the same run. For PyTorch's cells it includes the recurrent products, as if they did not wait for each other.

Cells and floors alternate, and a ratio is the median of the rounds' ratios, so that other load on the machine affects
it little. "x gru" is the speed relative to torch.nn.GRU; "x floor" is the time relative to the floor, 1 being the best.
bfloat16 is a training step under autocast, for the cells that support it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.ceilings import ACCESSES, PRODUCTS, RECURRENT, measure_bandwidth, seconds_of
from tasks.training.cells.cells import CELLS
from tasks.training.cells.cpu_workspace import BLOCK_ROWS
from tasks.training.cells.scan_cpu import fast_product
from tasks.training.runtime.device import choose_device

WIDTHS, WINDOWS = (64, 128, 256, 512, 1024), (64, 128, 256, 512, 1024, 2048, 4096)
GRID = ((64, 512), (256, 64), (256, 512), (256, 2048), (256, 4096))
"""Default widths and windows."""
TOKENS, MIN_BATCH = 8192, 8
"""Tokens of a step, and its minimum of sequences: 16 sequences of 512, 8 of 2,048."""
FLOAT = 4
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", help="input features, and hidden units per direction")
    parser.add_argument("--windows", type=int, nargs="+", help="time steps")
    parser.add_argument("--full", action="store_true", help=f"widths {WIDTHS} and windows {WINDOWS}; takes hours")
    parser.add_argument("--rounds", type=int, default=4, help="measurements of every cell")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    grid: Iterable[tuple[int, int]] = GRID
    if arguments.full or arguments.widths or arguments.windows:
        grid = product(arguments.widths or (WIDTHS if arguments.full else (256,)), arguments.windows or WINDOWS)
    device = choose_device(arguments.device)
    bandwidth = measure_bandwidth(device)
    measured = (row for width, window in grid for row in measure(width, window, arguments.rounds, device, bandwidth))
    if arguments.json:
        print(json.dumps(list(measured)))
    else:
        show(measured, device, bandwidth)


def measure(width: int, window: int, rounds: int, device: torch.device, bandwidth: float) -> Iterator[Row]:
    """One row per cell, once all have been measured."""
    batch = max(MIN_BATCH, TOKENS // window)
    layers = {cell: MeasuredCell(cell, width, window, batch, device) for cell in CELLS}
    seconds = [{cell: layer.seconds(bandwidth) for cell, layer in layers.items()} for _ in range(rounds + 1)][1:]
    tokens = window * batch
    for cell in CELLS:
        times = {name: [turn[cell][name] for turn in seconds] for name in seconds[0][cell]}
        row: Row = {"cell": cell, "width": width, "window": window, "batch": batch}
        for name, prefix in (("step", ""), ("forward", "forward_")):
            floors = times[f"{name}_floor"]
            row[f"{prefix}tokens_per_second"] = tokens / median(times[name])
            row[f"{prefix}ratio_to_gru"] = median(turn["gru"][name] / turn[cell][name] for turn in seconds)
            row[f"{prefix}ratio_to_floor"] = median(map(float.__truediv__, times[name], floors))
        row["bfloat16_tokens_per_second"] = tokens / median(times["bfloat16"]) if "bfloat16" in times else None
        yield row


class MeasuredCell:
    """A cell and its floor, and their times."""

    def __init__(self, cell: str, width: int, window: int, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device, self.bfloat16 = device, cell not in RECURRENT
        self.cell = CELLS[cell](width, width, True).to(device)
        self.inputs = torch.randn(window, batch, width, device=device, requires_grad=True)
        self.grad_output = torch.randn(window, batch, 2 * width, device=device)
        out = PRODUCTS[cell] * width
        self.products = [Product(window * batch, width, 2 * out, device)]
        if cell in RECURRENT:
            self.products += [Product(window * batch, width, out, device) for _ in range(2)]
        self.activations = window * batch * (2 * out + 2 * width) * FLOAT

    def seconds(self, bandwidth: float) -> dict[str, float]:
        """Seconds of a forward pass, a training step, and the floor of each."""
        variants = {"forward": self.forward, "step": self.step}
        if self.bfloat16:
            variants["bfloat16"] = self.bfloat16_step
        seconds = {name: seconds_of(work, self.device, 1, warm=0)[0] for name, work in variants.items()}
        forward = sum(self._fastest(product.forwards()) for product in self.products)
        backward = sum(self._fastest(product.backwards()) for product in self.products)
        once = self.activations * ACCESSES / 2 / bandwidth
        return {**seconds, "forward_floor": forward + once, "step_floor": forward + backward + 2 * once}

    def _fastest(self, variants: list[Callable[[], object]]) -> float:
        return min(seconds_of(work, self.device, 1, warm=0)[0] for work in variants)

    @torch.inference_mode()
    def forward(self) -> None:
        self.cell(self.inputs, None)

    def step(self) -> None:
        self._backward(self.cell(self.inputs, None))

    def bfloat16_step(self) -> None:
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            states = self.cell(self.inputs, None)
        self._backward(states)

    def _backward(self, states: Tensor) -> None:
        self.cell.zero_grad(set_to_none=True)
        self.inputs.grad = None
        states.backward(self.grad_output.to(states.dtype))  # type: ignore[no-untyped-call]


class Product:
    """A matrix product and its gradients: by torch.mm, on the CPU also by oneDNN in blocks that fit in the cache."""

    def __init__(self, rows: int, features: int, out: int, device: torch.device) -> None:
        self.left, self.right, self.result = (
            torch.randn(size, device=device) for size in ((rows, features), (out, features), (rows, out))
        )
        self.product = torch.empty_like(self.result)
        self.grad_left, self.grad_right = torch.empty_like(self.left), torch.empty_like(self.right)
        self.on_cpu = device.type == "cpu"

    def forwards(self) -> list[Callable[[], object]]:
        variants: list[Callable[[], object]] = [lambda: torch.mm(self.left, self.right.t(), out=self.product)]

        def onednn() -> None:
            for rows in torch.split(self.left, BLOCK_ROWS):
                fast_product(rows, self.right.t())

        return [*variants, onednn] if self.on_cpu else variants

    def backwards(self) -> list[Callable[[], object]]:
        def in_place() -> None:
            torch.mm(self.result, self.right, out=self.grad_left)
            torch.mm(self.result.t(), self.left, out=self.grad_right)

        def onednn() -> None:
            for rows, grad_rows in zip(
                torch.split(self.left, BLOCK_ROWS), torch.split(self.result, BLOCK_ROWS), strict=True
            ):
                fast_product(grad_rows, self.right)
                fast_product(grad_rows.t(), rows)

        return [in_place, onednn] if self.on_cpu else [in_place]


def show(measured: Iterable[Row], device: torch.device, bandwidth: float) -> None:
    """Prints one line per row, as soon as it is measured."""
    print(f"{device.type}, {torch.get_num_threads()} threads, memory {bandwidth / 1e9:.1f} GB/s\n")
    print(f"{'':<31}{'training step':^31}{'forward':^31}{'bfloat16':>12}")
    columns = f"{'tokens/s':>13}{'x gru':>9}{'x floor':>9}"
    print(f"{'cell':<9}{'width':>7}{'window':>8}{'batch':>7}{columns}{columns}{'tokens/s':>12}")
    for row in measured:
        line = f"{row['cell']:<9}{row['width']:>7}{row['window']:>8}{row['batch']:>7}"
        for prefix in ("", "forward_"):
            line += f"{row[f'{prefix}tokens_per_second']:>13,.0f}"
            line += f"{row[f'{prefix}ratio_to_gru']:>9.2f}{row[f'{prefix}ratio_to_floor']:>9.2f}"
        bfloat16 = row["bfloat16_tokens_per_second"]
        print(line + ("" if bfloat16 is None else f"{bfloat16:>12,.0f}"), flush=True)


if __name__ == "__main__":
    main()
