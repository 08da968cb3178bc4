"""Gradient profiles of each cell, untrained and after learning to remember; and exploding gradients, clipped or not.

    python -m benchmarks.gradients [--steps 800] [--picture docs/images/gradients.png] [--json]

The task: predict the first token of a window of 2 to 128 tokens, the others being noise, from the last state alone. One
unidirectional layer of 32 units, AdamW, gradients clipped to norm 1. "norm at d" is the norm that remains after d steps
of a unit gradient at the last state h (tasks/training/loop/gradient_flow.py; for an LSTM also at c), mean over 32
windows of 257 tokens; "recall" is the accuracy on 512 windows of 257 tokens, twice as long as any in training (chance:
0.125). In every untrained cell the gradient vanishes within some dozens of steps: gates start half open. The last rows
scale the RNN's recurrent weights up, so that gradients explode, and train it with and without clipping; "largest
gradient" is the largest norm of any step before clipping.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.training.cells.cells import CELLS
from tasks.training.loop.gradient_flow import gradient_profile

SYMBOLS, HIDDEN, BATCH, LONGEST, MAX_LAG = 8, 32, 32, 128, 256
DISTANCES = (1, 16, 64, 256)
UNCLIPPED, SCALED, WIDE = math.inf, 4.0, 17
COLOURS = {"rnn": "#d55e00", "lstm": "#e69f00", "gru": "#009e73", "mingru": "#0072b2", "minlstm": "#56b4e9"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="training steps of each cell")
    parser.add_argument("--picture", type=Path, help="draw the curves to this file (.png or .svg)")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    runs = list(measure(arguments.steps))
    rows = [row for run in runs for row in run.rows()]
    if arguments.picture:
        draw(runs, arguments.picture)
    if arguments.json:
        print(json.dumps(rows))
        return
    for line in [dict(zip(rows[0], rows[0], strict=True)), *rows]:
        first, when, *others = line.values()
        print(f"{first:<28}{when:<22}" + "".join(f"{_short(value):>{WIDE}}" for value in others))


@dataclass(frozen=True)
class Measurement:
    """The measurements of a cell before or after training."""

    cell: str
    when: str
    curves: dict[str, list[float]]
    """Norms by distance, of each kind of state."""
    recall: float
    largest_gradient: float | None = None

    def rows(self) -> Iterator[dict[str, Any]]:
        for state, norms in sorted(self.curves.items(), reverse=True):
            yield {
                "cell": self.cell,
                "when": self.when,
                "state": state,
                **{f"norm at {distance}": norms[distance] for distance in DISTANCES},
                "256 to 1": norms[MAX_LAG] / norms[1],
                "recall": self.recall,
                "largest gradient": self.largest_gradient,
            }


class Recall(nn.Module):
    """Predicts the first token of a window from the last state."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2 * SYMBOLS, HIDDEN)
        self.cells = nn.ModuleList([CELLS[cell](HIDDEN, HIDDEN, False)])
        self.output = nn.Linear(HIDDEN, SYMBOLS)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [batch, symbols] of windows [time, batch]."""
        logits: Tensor = self.output(self.cells[0](self.embedding(ids), None)[-1])
        return logits


def measure(steps: int) -> Iterator[Measurement]:
    """Each cell before and after training, then the RNN with exploding gradients."""
    for cell in COLOURS:
        torch.manual_seed(0)
        model = Recall(cell)
        yield profile(model, cell, "untrained")
        largest = train(model, steps, 1.0)
        yield profile(model, cell, "trained", largest)
    for max_grad_norm, name in ((1.0, "trained, clipped"), (UNCLIPPED, "trained, not clipped")):
        torch.manual_seed(0)
        model = Recall("rnn")
        with torch.no_grad():
            model.get_parameter("cells.0.layer.weight_hh_l0").mul_(SCALED)
        if max_grad_norm == 1:
            yield profile(model, "rnn, recurrent weights × 4", "untrained")
        largest = train(model, steps, max_grad_norm)
        yield profile(model, "rnn, recurrent weights × 4", name, largest)


def windows(length: int, count: int, generator: torch.Generator) -> Tensor:
    """A symbol first, then noise: [length, count]."""
    ids = torch.randint(SYMBOLS, 2 * SYMBOLS, (length, count), generator=generator)
    ids[0] = torch.randint(SYMBOLS, (count,), generator=generator)
    return ids


def train(model: Recall, steps: int, max_grad_norm: float) -> float:
    """Trains the model; returns the largest gradient norm of a step, before clipping."""
    generator, largest = torch.Generator().manual_seed(1), 0.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        ids = windows(int(torch.randint(2, LONGEST + 1, (), generator=generator)), BATCH, generator)
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(ids), ids[0]).backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        largest = max(largest, float(norm))
        optimizer.step()
    return largest


@torch.no_grad()
def profile(model: Recall, cell: str, when: str, largest: float | None = None) -> Measurement:
    """The gradient profile of the model as it is, and its recall."""
    generator = torch.Generator().manual_seed(2)
    ids = windows(MAX_LAG + 1, 512, generator)
    recall = float((model(ids).argmax(-1) == ids[0]).float().mean())
    curves: dict[str, list[float]] = {}
    with torch.enable_grad():
        for row in gradient_profile(model.cells, model.embedding(ids[:, :32])):
            curves.setdefault(row["state"], []).append(row["norm"])
    return Measurement(cell, when, curves, recall, largest)


def draw(runs: list[Measurement], path: Path) -> None:
    """Norm against distance of all cells, untrained next to trained."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, when in zip(figure.subplots(1, 2, sharey=True), ("untrained", "trained"), strict=True):
        for run in runs:
            if run.cell in COLOURS and run.when == when:
                for state, norms in run.curves.items():
                    line, name = ("--", f"{run.cell}, c") if state == "c" else ("-", run.cell)
                    axes.plot(range(MAX_LAG + 1), norms, line, color=COLOURS[run.cell], label=name)
        axes.set(title=f"{when.capitalize()}", yscale="log", ylim=(1e-20, 3), xlabel="distance to the loss, steps")
        axes.grid(color="#d5d9de", linewidth=0.6)
    figure.axes[0].set_ylabel("‖∂L/∂state‖")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def _short(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
