"""Whether a GPU computes what the CPU computes, for every cell, and how close a training step comes to its limits.

    python -m benchmarks.gpu [--device cuda] [--widths 64 256 1024] [--windows 128 1024 4096] [--json]

Needs only torch, numpy and pyarrow. It first compares the models of both objectives, outputs and gradients, with and
without padding: float32 on the device against float32 on the CPU, bfloat16 against float32. It also checks that steps
are bit-identical when repeated, and that none waits for the device. Then it measures a training step's tokens per
second, relative to PyTorch's GRU (cuDNN's on CUDA) and to the limits measured in the same run (ceilings.py). Without a
GPU it compares the CPU against float64.

Exits with 1 if a cell does not agree, is not reproducible or waits.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import median
from typing import Any

import torch

from benchmarks.agreement import agreement
from benchmarks.ceilings import Ceilings, measure_ceilings, minimum_seconds, seconds_of
from benchmarks.steps import TrainingStep
from tasks.training.cells.cells import CELLS
from tasks.training.models.window_classifier import WindowArchitecture
from tasks.training.runtime.device import choose_device
from tasks.training.runtime.precision import supports_bfloat16

NAMES = ("none", *CELLS)
VOCABULARY, LABELS = 8000, 15
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--widths", type=int, nargs="+", help="embedding size and hidden units in each direction")
    parser.add_argument("--windows", type=int, nargs="+", help="tokens in a window")
    parser.add_argument("--tokens", type=int, help="tokens in a step")
    parser.add_argument("--rounds", type=int, default=3, help="steps per measurement, which reports their median")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    gpu = device.type == "cuda"
    widths = arguments.widths or ([64, 256, 1024] if gpu else [64, 256])
    windows = arguments.windows or ([128, 1024, 4096] if gpu else [128, 512])
    tokens = arguments.tokens or (131_072 if gpu else 4096)
    agreements = [agreement(cell, "labels", device) for cell in NAMES]
    agreements += [agreement(cell, "language", device) for cell in CELLS]
    precisions = ["float32", *(["bfloat16"] if any(supports_bfloat16(cell, device) for cell in NAMES) else [])]
    ceilings = measure_ceilings(device, precisions)
    speeds = [
        row
        for width in widths
        for window in windows
        for row in measure(width, window, tokens, arguments.rounds, device, ceilings)
    ]
    if arguments.json:
        result = {"device": describe(device), "agreement": agreements, "ceilings": vars(ceilings), "speed": speeds}
        print(json.dumps(result))
    else:
        show(device, agreements, ceilings, speeds)
    sys.exit(0 if all(row["agrees"] for row in agreements) else 1)


def measure(width: int, window: int, tokens: int, rounds: int, device: torch.device, ceilings: Ceilings) -> list[Row]:
    """One row per cell and precision: tokens per second, also relative to the GRU's and to the limits."""
    rows: list[Row] = []
    for precision in ceilings.flops:
        names = [cell for cell in NAMES if precision == "float32" or supports_bfloat16(cell, device)]
        for cell in names:
            architecture = WindowArchitecture(VOCABULARY, cell, width, width, 1, True, LABELS, "mean", True)
            step = TrainingStep(architecture, window, max(1, tokens // window), device, precision)
            seconds = median(seconds_of(step.run, device, rounds))
            minimum = minimum_seconds(architecture, step.tokens, step.parameters, precision, ceilings)
            row: Row = {"cell": cell, "width": width, "window": window, "precision": precision}
            rows.append({**row, "tokens_per_second": step.tokens / seconds, "share_of_ceilings": minimum / seconds})
    gru = {row["precision"]: row["tokens_per_second"] for row in rows if row["cell"] == "gru"}
    for row in rows:
        row["ratio_to_gru"] = row["tokens_per_second"] / gru[row["precision"]] if row["precision"] in gru else None
    return rows


def describe(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{device.type}, {name}, torch {torch.__version__}"


def show(device: torch.device, agreements: list[Row], ceilings: Ceilings, speeds: list[Row]) -> None:
    print(f"Device: {describe(device)}")
    if device.type == "cpu":
        print("No GPU available or requested: compares the CPU's float32 to float64; says nothing about a GPU.")
    errors = f"{'float32 error':>16}{'bfloat16 error':>17}"
    print(f"\n{'cell':<10}{'objective':<10}{errors}{'repeats':>9}{'waits':>7}{'agrees':>8}")
    for row in agreements:
        bfloat16 = "—" if row["bfloat16_error"] is None else f"{row['bfloat16_error']:.1e}"
        waits = "—" if row["waits"] is None else _yes(row["waits"])
        print(
            f"{row['cell']:<10}{row['objective']:<10}{row['float32_error']:>16.1e}{bfloat16:>17}{_yes(row['repeats']):>9}{waits:>7}"
            f"{_yes(row['agrees']):>8}"
        )
        for problem in row["problems"]:
            print(f"    {problem}")
    rates = ", ".join(f"{rate / 1e12:.2f} TFLOP/s in {precision}" for precision, rate in ceilings.flops.items())
    print(f"\nLimits measured: matrix products {rates}; memory {ceilings.bandwidth / 1e9:.0f} GB/s\n")
    print(f"{'cell':<10}{'width':>6}{'window':>8}  {'precision':<10}{'tokens/s':>13}{'x gru':>8}{'of limits':>11}")
    for row in speeds:
        ratio = "—" if row["ratio_to_gru"] is None else f"{row['ratio_to_gru']:.2f}"
        print(
            f"{row['cell']:<10}{row['width']:>6}{row['window']:>8}  {row['precision']:<10}"
            f"{row['tokens_per_second']:>13,.0f}{ratio:>8}{row['share_of_ceilings']:>11.0%}"
        )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    main()
