"""Tokens per second of a training step of each cell, beside torch.nn.GRU in the same run.

    python -m benchmarks.training [--width 128 --window 128 --batch 64] [--rounds 5] [--json]

A step is what training does: embeddings, one bidirectional layer, pooling, loss, backward, clipping, AdamW. The cells
take turns, so that a busy machine slows all of them; the median of the rounds is reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from torch.nn import functional

from tasks.training.models.window_classifier import Architecture, Noise, WindowClassifier
from tasks.training.runtime.device import choose_device

CELLS = ("none", "rnn", "gru", "lstm", "mingru", "minlstm")
VOCABULARY, LABELS = 8000, 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128, help="embedding size and hidden units in each direction")
    parser.add_argument("--window", type=int, default=128, help="tokens in a window")
    parser.add_argument("--batch", type=int, default=64, help="windows in a step")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every cell")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    rows = measure(
        arguments.width, arguments.window, arguments.batch, arguments.rounds, choose_device(arguments.device)
    )
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"width {arguments.width}, window {arguments.window}, batch {arguments.batch}")
    print(f"{'cell':<10}{'tokens/s':>12}{'ratio to gru':>15}")
    for row in rows:
        print(f"{row['cell']:<10}{row['tokens_per_second']:>12,.0f}{row['ratio_to_gru']:>15.2f}")


def measure(width: int, window: int, batch: int, rounds: int, device: torch.device) -> list[dict[str, str | float]]:
    """One row a cell: its name, tokens per second, and that over the GRU's."""
    steps = {cell: Step(cell, width, window, batch, device) for cell in CELLS}
    seconds: dict[str, list[float]] = {cell: [] for cell in CELLS}
    for step in steps.values():
        step.run()
    for _ in range(rounds):
        for cell, step in steps.items():
            seconds[cell].append(step.run())
    speed = {cell: window * batch / statistics.median(times) for cell, times in seconds.items()}
    return [
        {"cell": cell, "tokens_per_second": value, "ratio_to_gru": value / speed["gru"]}
        for cell, value in speed.items()
    ]


class Step:
    """A training step on random tokens."""

    def __init__(self, cell: str, width: int, window: int, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        architecture = Architecture(VOCABULARY, LABELS, cell, width, width, 1, True, "mean", True)
        self.model = WindowClassifier(architecture, Noise(0.3, 0.3, 0.5)).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=device.type != "mps")
        self.ids = torch.randint(2, VOCABULARY, (window, batch), device=device)
        self.labels = torch.randint(LABELS, (batch,), device=device)

    def run(self) -> float:
        """Seconds of one step."""
        started = time.perf_counter()
        loss = functional.cross_entropy(self.model(self.ids), self.labels, label_smoothing=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        norm.item()  # waits for the device
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
