"""Whether a GPU computes what the CPU computes, for every cell, and how near to its limits a training step comes.

    python -m benchmarks.gpu [--device cuda] [--widths 64 256 1024] [--windows 128 1024 4096] [--json]

Needs torch, numpy and pyarrow alone. First the agreement of the models that both objectives train, forward and
gradients, padded and not: float32 on the device against float32 on the CPU, bfloat16 against float32; also whether
steps repeat to the bit, and whether one waits for the device. Then tokens a second of a training step, beside PyTorch's
GRU (cuDNN's on CUDA), and its share of the limits that are measured in the same run (ceilings.py). Without a GPU the
device is the CPU, held against float64.

Ends with 1 if a cell does not agree, does not repeat or waits.
"""

from __future__ import annotations

import argparse
import json
import sys
from statistics import median
from typing import Any

import torch

from benchmarks.agreement import agreement
from benchmarks.ceilings import Ceilings, least_seconds, measure_ceilings, seconds_of
from benchmarks.steps import TrainingStep
from tasks.training.cells.cells import CELLS
from tasks.training.models.window_classifier import Architecture
from tasks.training.runtime.device import choose_device
from tasks.training.runtime.precision import computes_bfloat16

NAMES = ("none", *CELLS)
VOCABULARY, LABELS = 8000, 15
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--widths", type=int, nargs="+", help="embedding size and hidden units in each direction")
    parser.add_argument("--windows", type=int, nargs="+", help="tokens in a window")
    parser.add_argument("--tokens", type=int, help="tokens in a step")
    parser.add_argument("--rounds", type=int, default=3, help="steps of which the median is taken")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    given = parser.parse_args()
    device = choose_device(given.device)
    gpu = device.type == "cuda"
    widths = given.widths or ([64, 256, 1024] if gpu else [64, 256])
    windows = given.windows or ([128, 1024, 4096] if gpu else [128, 512])
    tokens = given.tokens or (131_072 if gpu else 4096)
    agreed = [agreement(cell, "labels", device) for cell in NAMES]
    agreed += [agreement(cell, "language", device) for cell in CELLS]
    precisions = ["float32", *(["bfloat16"] if any(computes_bfloat16(cell, device) for cell in NAMES) else [])]
    most = measure_ceilings(device, precisions)
    measured = [
        row
        for width in widths
        for window in windows
        for row in speeds(width, window, tokens, given.rounds, device, most)
    ]
    if given.json:
        found = {"device": describe(device), "agreement": agreed, "ceilings": vars(most), "speed": measured}
        print(json.dumps(found))
    else:
        show(device, agreed, most, measured)
    sys.exit(0 if all(row["agrees"] for row in agreed) else 1)


def speeds(width: int, window: int, tokens: int, rounds: int, device: torch.device, most: Ceilings) -> list[Row]:
    """One row a cell and precision: tokens a second, that over the GRU's in the same precision, share of the limits."""
    rows: list[Row] = []
    for precision in most.flops:
        names = [cell for cell in NAMES if precision == "float32" or computes_bfloat16(cell, device)]
        for cell in names:
            architecture = Architecture(VOCABULARY, LABELS, cell, width, width, 1, True, "mean", True)
            step = TrainingStep(architecture, window, max(1, tokens // window), device, precision)
            seconds = median(seconds_of(step.run, device, rounds))
            least = least_seconds(architecture, step.tokens, step.parameters, precision, most)
            row: Row = {"cell": cell, "width": width, "window": window, "precision": precision}
            rows.append({**row, "tokens_per_second": step.tokens / seconds, "share_of_ceilings": least / seconds})
    gru = {row["precision"]: row["tokens_per_second"] for row in rows if row["cell"] == "gru"}
    for row in rows:
        row["ratio_to_gru"] = row["tokens_per_second"] / gru[row["precision"]] if row["precision"] in gru else None
    return rows


def describe(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"{device.type}, {name}, torch {torch.__version__}"


def show(device: torch.device, agreed: list[Row], most: Ceilings, measured: list[Row]) -> None:
    print(f"Device: {describe(device)}")
    if device.type == "cpu":
        print(
            "No GPU here, or none asked for: this is the CPU, float32 held against float64; nothing is said of a GPU."
        )
    off = f"{'float32 off by':>16}{'bfloat16 off by':>17}"
    print(f"\n{'cell':<10}{'objective':<10}{off}{'repeats':>9}{'waits':>7}{'agrees':>8}")
    for row in agreed:
        half = "—" if row["bfloat16_error"] is None else f"{row['bfloat16_error']:.1e}"
        waits = "—" if row["waits"] is None else _yes(row["waits"])
        print(
            f"{row['cell']:<10}{row['objective']:<10}{row['float32_error']:>16.1e}{half:>17}{_yes(row['repeats']):>9}{waits:>7}"
            f"{_yes(row['agrees']):>8}"
        )
        for problem in row["problems"]:
            print(f"    {problem}")
    rates = ", ".join(f"{rate / 1e12:.2f} TFLOP/s in {precision}" for precision, rate in most.flops.items())
    print(f"\nLimits measured: matrix products {rates}; memory {most.bandwidth / 1e9:.0f} GB/s\n")
    print(f"{'cell':<10}{'width':>6}{'window':>8}  {'precision':<10}{'tokens/s':>13}{'x gru':>8}{'of limits':>11}")
    for row in measured:
        ratio = "—" if row["ratio_to_gru"] is None else f"{row['ratio_to_gru']:.2f}"
        print(
            f"{row['cell']:<10}{row['width']:>6}{row['window']:>8}  {row['precision']:<10}"
            f"{row['tokens_per_second']:>13,.0f}{ratio:>8}{row['share_of_ceilings']:>11.0%}"
        )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


if __name__ == "__main__":
    main()
