"""How fast the recurrent layers learn and read, at any width and window: beside PyTorch's GRU, and above the floor.

    python -m benchmarks.cells [--widths 64 256 1024] [--windows 64 512 4096] [--full] [--rounds 4] [--json]

One bidirectional layer alone, on random inputs that want a gradient. A training step is forward and backward. The
floor is the same cell's matrix products alone, forward and backward, by the faster of torch.mm and oneDNN, and then
each activation (what a product puts out, and the states) read and written once each way at the bandwidth that a large
copy has in the same run. Of PyTorch's cells the recurrent products are in it, as if they did not wait for each other.

All cells and floors take turns, and a ratio is the median of the rounds' ratios, so that a busy machine changes them
little. "x gru": times as fast as torch.nn.GRU; "x floor": times as long as the floor, 1 being the best. bfloat16 is
a training step under autocast, of the cells that compute in it.
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
from tasks.training.cells.cpu_workspace import ROWS
from tasks.training.cells.scan_cpu import fast_product
from tasks.training.runtime.device import choose_device

WIDTHS, WINDOWS = (64, 128, 256, 512, 1024), (64, 128, 256, 512, 1024, 2048, 4096)
GRID = ((64, 512), (256, 64), (256, 512), (256, 2048), (256, 4096))
"""Widths and windows that are measured unless others are asked for."""
TOKENS, FEWEST = 8192, 8
"""Of a step, and its sequences at least: 16 sequences of 512, 8 of 2,048."""
FLOAT = 4
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", help="features, and hidden units in each direction")
    parser.add_argument("--windows", type=int, nargs="+", help="steps of time")
    parser.add_argument("--full", action="store_true", help=f"widths {WIDTHS} and windows {WINDOWS}; takes hours")
    parser.add_argument("--rounds", type=int, default=4, help="turns of every cell")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    given = parser.parse_args()
    grid: Iterable[tuple[int, int]] = GRID
    if given.full or given.widths or given.windows:
        grid = product(given.widths or (WIDTHS if given.full else (256,)), given.windows or WINDOWS)
    device = choose_device(given.device)
    bandwidth = measure_bandwidth(device)
    measured = (row for width, window in grid for row in measure(width, window, given.rounds, device, bandwidth))
    if given.json:
        print(json.dumps(list(measured)))
    else:
        show(measured, device, bandwidth)


def measure(width: int, window: int, rounds: int, device: torch.device, bandwidth: float) -> Iterator[Row]:
    """One row a cell, after all of them have been measured."""
    batch = max(FEWEST, TOKENS // window)
    layers = {cell: Layer(cell, width, window, batch, device) for cell in CELLS}
    seconds = [{cell: layer.seconds(bandwidth) for cell, layer in layers.items()} for _ in range(rounds + 1)][1:]
    tokens = window * batch
    for cell in CELLS:
        taken = {name: [turn[cell][name] for turn in seconds] for name in seconds[0][cell]}
        row: Row = {"cell": cell, "width": width, "window": window, "batch": batch}
        for name, prefix in (("step", ""), ("forward", "forward_")):
            floors = taken[f"{name}_floor"]
            row[f"{prefix}tokens_per_second"] = tokens / median(taken[name])
            row[f"{prefix}ratio_to_gru"] = median(turn["gru"][name] / turn[cell][name] for turn in seconds)
            row[f"{prefix}ratio_to_floor"] = median(map(float.__truediv__, taken[name], floors))
        row["bfloat16_tokens_per_second"] = tokens / median(taken["bfloat16"]) if "bfloat16" in taken else None
        yield row


class Layer:
    """A cell and its floor."""

    def __init__(self, cell: str, width: int, window: int, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device, self.short = device, cell not in RECURRENT
        self.cell = CELLS[cell](width, width, True).to(device)
        self.inputs = torch.randn(window, batch, width, device=device, requires_grad=True)
        self.direct = torch.randn(window, batch, 2 * width, device=device)
        out = PRODUCTS[cell] * width
        self.products = [Product(window * batch, width, 2 * out, device)]
        if cell in RECURRENT:
            self.products += [Product(window * batch, width, out, device) for _ in range(2)]
        self.activations = window * batch * (2 * out + 2 * width) * FLOAT

    def seconds(self, bandwidth: float) -> dict[str, float]:
        """Of a forward pass, of a training step, and of the floor of each."""
        works = {"forward": self.forward, "step": self.step}
        if self.short:
            works["bfloat16"] = self.short_step
        taken = {name: seconds_of(work, self.device, 1, warm=0)[0] for name, work in works.items()}
        forward = sum(self._least(product.forwards()) for product in self.products)
        backward = sum(self._least(product.backwards()) for product in self.products)
        once = self.activations * ACCESSES / 2 / bandwidth
        return {**taken, "forward_floor": forward + once, "step_floor": forward + backward + 2 * once}

    def _least(self, works: list[Callable[[], object]]) -> float:
        return min(seconds_of(work, self.device, 1, warm=0)[0] for work in works)

    @torch.inference_mode()
    def forward(self) -> None:
        self.cell(self.inputs, None)

    def step(self) -> None:
        self._learn(self.cell(self.inputs, None))

    def short_step(self) -> None:
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            states = self.cell(self.inputs, None)
        self._learn(states)

    def _learn(self, states: Tensor) -> None:
        self.cell.zero_grad(set_to_none=True)
        self.inputs.grad = None
        states.backward(self.direct.to(states.dtype))  # type: ignore[no-untyped-call]


class Product:
    """A matrix product and its gradients: by torch.mm, on the CPU also by oneDNN in pieces that fit in the cache."""

    def __init__(self, rows: int, features: int, out: int, device: torch.device) -> None:
        self.left, self.right, self.result = (
            torch.randn(size, device=device) for size in ((rows, features), (out, features), (rows, out))
        )
        self.product = torch.empty_like(self.result)
        self.by_left, self.by_right = torch.empty_like(self.left), torch.empty_like(self.right)
        self.on_cpu = device.type == "cpu"

    def forwards(self) -> list[Callable[[], object]]:
        works: list[Callable[[], object]] = [lambda: torch.mm(self.left, self.right.t(), out=self.product)]

        def by_onednn() -> None:
            for rows in torch.split(self.left, ROWS):
                fast_product(rows, self.right.t())

        return [*works, by_onednn] if self.on_cpu else works

    def backwards(self) -> list[Callable[[], object]]:
        def in_place() -> None:
            torch.mm(self.result, self.right, out=self.by_left)
            torch.mm(self.result.t(), self.left, out=self.by_right)

        def by_onednn() -> None:
            for rows, by_rows in zip(torch.split(self.left, ROWS), torch.split(self.result, ROWS), strict=True):
                fast_product(by_rows, self.right)
                fast_product(by_rows.t(), rows)

        return [in_place, by_onednn] if self.on_cpu else [in_place]


def show(measured: Iterable[Row], device: torch.device, bandwidth: float) -> None:
    """A line each, as soon as it is known."""
    print(f"{device.type}, {torch.get_num_threads()} threads, memory {bandwidth / 1e9:.1f} GB/s\n")
    print(f"{'':<31}{'training step':^31}{'forward':^31}{'bfloat16':>12}")
    columns = f"{'tokens/s':>13}{'x gru':>9}{'x floor':>9}"
    print(f"{'cell':<9}{'width':>7}{'window':>8}{'batch':>7}{columns}{columns}{'tokens/s':>12}")
    for row in measured:
        line = f"{row['cell']:<9}{row['width']:>7}{row['window']:>8}{row['batch']:>7}"
        for prefix in ("", "forward_"):
            line += f"{row[f'{prefix}tokens_per_second']:>13,.0f}"
            line += f"{row[f'{prefix}ratio_to_gru']:>9.2f}{row[f'{prefix}ratio_to_floor']:>9.2f}"
        short = row["bfloat16_tokens_per_second"]
        print(line + ("" if short is None else f"{short:>12,.0f}"), flush=True)


if __name__ == "__main__":
    main()
