"""Tokens per second of a training step of each cell, relative to torch.nn.GRU in the same run.

    python -m benchmarks.training [--width 128 --window 128 --batch 64] [--rounds 5] [--json]

A step is one of the training loop, with one bidirectional layer. The cells alternate, so that other load on the machine
slows all of them alike; the reported speed is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics

import torch

from benchmarks.ceilings import seconds_of
from benchmarks.steps import LABELS, TrainingStep
from tasks.training.models.window_classifier import WindowArchitecture
from tasks.training.runtime.device import choose_device

CELLS = ("none", "rnn", "gru", "lstm", "mingru", "minlstm")
VOCABULARY = 8000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128, help="embedding size and hidden units in each direction")
    parser.add_argument("--window", type=int, default=128, help="tokens in a window")
    parser.add_argument("--batch", type=int, default=64, help="windows in a step")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of every cell")
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
    """One row per cell: its name, tokens per second, and speed relative to the GRU."""
    steps = {
        cell: TrainingStep(
            WindowArchitecture(VOCABULARY, cell, width, width, 1, True, LABELS, "mean", True), window, batch, device
        )
        for cell in CELLS
    }
    seconds: dict[str, list[float]] = {cell: [] for cell in CELLS}
    for number in range(rounds + 1):
        for cell, step in steps.items():
            times = seconds_of(step.run, device, 1, warm=0)
            seconds[cell] += times if number else []  # the first round warms up
    speed = {cell: window * batch / statistics.median(times) for cell, times in seconds.items()}
    return [
        {"cell": cell, "tokens_per_second": value, "ratio_to_gru": value / speed["gru"]}
        for cell, value in speed.items()
    ]


if __name__ == "__main__":
    main()
