"""How far gradients reach through each cell, untrained and after learning to remember; and an explosion, held or not.

    python -m benchmarks.gradients [--steps 800] [--picture docs/images/gradients.png] [--json]

The task: name the first token of a window of 2 to 128 tokens, the others being noise, from the last state alone. One
layer of 32 units in one direction, AdamW, gradients clipped to norm 1. "norm at d" is what d steps leave of a gradient
of length one that enters the last state (tasks/training/loop/gradient_flow.py; of an LSTM into h, and followed also to
c), mean over 32 windows of 257 tokens; "recall" is the share of 512 windows of 257 tokens, twice as long as any seen,
whose first token is named (chance: 0.125). Untrained, every cell's gradient is gone after some dozens of steps: gates
start half open. The last rows scale the RNN's recurrent weights up, so that gradients explode, and train it with and
without clipping; "largest gradient" is the norm of any step before clipping.
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
from tasks.training.loop.gradient_flow import gradient_flow

SYMBOLS, HIDDEN, BATCH, LONGEST, FAR = 8, 32, 32, 128, 256
DISTANCES = (1, 16, 64, 256)
UNCLIPPED, SCALED, WIDE = math.inf, 4.0, 17
COLOURS = {"rnn": "#d55e00", "lstm": "#e69f00", "gru": "#009e73", "mingru": "#0072b2", "minlstm": "#56b4e9"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="training steps of each cell")
    parser.add_argument("--picture", type=Path, help="draw the curves into this file (.png or .svg)")
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
class Run:
    """A cell before or after training: what was found."""

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
                "256 to 1": norms[FAR] / norms[1],
                "recall": self.recall,
                "largest gradient": self.largest_gradient,
            }


class Recall(nn.Module):
    """Names the first token of a window from the last state."""

    def __init__(self, cell: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2 * SYMBOLS, HIDDEN)
        self.cells = nn.ModuleList([CELLS[cell](HIDDEN, HIDDEN, False)])
        self.answer = nn.Linear(HIDDEN, SYMBOLS)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits [batch, symbols] of windows [time, batch]."""
        logits: Tensor = self.answer(self.cells[0](self.embedding(ids), None)[-1])
        return logits


def measure(steps: int) -> Iterator[Run]:
    """Each cell before and after training, then the RNN that explodes."""
    for cell in COLOURS:
        torch.manual_seed(0)
        model = Recall(cell)
        yield look(model, cell, "untrained")
        largest = learn(model, steps, 1.0)
        yield look(model, cell, "trained", largest)
    for max_grad_norm, name in ((1.0, "trained, clipped"), (UNCLIPPED, "trained, not clipped")):
        torch.manual_seed(0)
        model = Recall("rnn")
        with torch.no_grad():
            model.get_parameter("cells.0.layer.weight_hh_l0").mul_(SCALED)
        if max_grad_norm == 1:
            yield look(model, "rnn, recurrent weights × 4", "untrained")
        largest = learn(model, steps, max_grad_norm)
        yield look(model, "rnn, recurrent weights × 4", name, largest)


def windows(length: int, count: int, generator: torch.Generator) -> Tensor:
    """A symbol first, then noise: [length, count]."""
    ids = torch.randint(SYMBOLS, 2 * SYMBOLS, (length, count), generator=generator)
    ids[0] = torch.randint(SYMBOLS, (count,), generator=generator)
    return ids


def learn(model: Recall, steps: int, max_grad_norm: float) -> float:
    """Trains; gives the largest gradient norm of a step, before clipping."""
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
def look(model: Recall, cell: str, when: str, largest: float | None = None) -> Run:
    """How far gradients reach in the model as it is, and how well it recalls."""
    generator = torch.Generator().manual_seed(2)
    ids = windows(FAR + 1, 512, generator)
    recall = float((model(ids).argmax(-1) == ids[0]).float().mean())
    curves: dict[str, list[float]] = {}
    with torch.enable_grad():
        for row in gradient_flow(model.cells, model.embedding(ids[:, :32])):
            curves.setdefault(row["state"], []).append(row["norm"])
    return Run(cell, when, curves, recall, largest)


def draw(runs: list[Run], path: Path) -> None:
    """Norm against distance of all cells, untrained beside trained."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, when in zip(figure.subplots(1, 2, sharey=True), ("untrained", "trained"), strict=True):
        for run in runs:
            if run.cell in COLOURS and run.when == when:
                for state, norms in run.curves.items():
                    line, name = ("--", f"{run.cell}, c") if state == "c" else ("-", run.cell)
                    axes.plot(range(FAR + 1), norms, line, color=COLOURS[run.cell], label=name)
        axes.set(title=f"{when.capitalize()}", yscale="log", ylim=(1e-20, 3), xlabel="distance to the loss, steps")
        axes.grid(color="#d5d9de", linewidth=0.6)
    figure.axes[0].set_ylabel("‖∂L/∂state‖")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def _short(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
