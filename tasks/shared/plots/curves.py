"""Training curves over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tasks.shared.plots.drawing import Palette, Picture, picture
from tasks.shared.statistics.metrics import Floats

CURVES = {
    "Loss": {"train_loss": "training", "validation_loss": "out of fold"},
    "Accuracy": {"train_window_accuracy": "training windows", "validation_accuracy": "out of fold, documents"},
    "Macro-F1": {"validation_macro_f1": "out of fold, documents"},
    "Learning rate": {"learning_rate": "at the epoch's end"},
}
"""Lines of each picture: columns of the history, with their labels."""


@dataclass(frozen=True)
class Series:
    """A named series of values, one per epoch or label."""

    name: str
    values: Floats


def training_curves(history: Mapping[str, Floats]) -> list[Picture]:
    """A picture for each entry of `CURVES` that the history has."""
    available = {
        title: [Series(name, history[column]) for column, name in lines.items() if column in history]
        for title, lines in CURVES.items()
    }
    return [curves(title, series) for title, series in available.items() if series]


def curves(title: str, series: Sequence[Series]) -> Picture:
    """One picture with a line per series."""
    lines = ("-", "--", ":")

    def draw(axes: Axes, palette: Palette) -> None:
        colours = (palette.first, palette.second, palette.third)
        for one, colour, line in zip(series, colours, lines, strict=False):
            epochs = np.arange(1, len(one.values) + 1)
            few = np.isfinite(one.values).sum() < 3  # too few for a visible line
            axes.plot(epochs, one.values, line, marker="." if few else None, color=colour, label=one.name)
        axes.grid()
        axes.set_title(title, fontsize=9.5, loc="left", fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        axes.legend(loc="best", handlelength=1.6)

    last = ", ".join(f"{one.name} {_last(one.values):.4g}" for one in series)
    return picture(draw, 3.5, 2.4, f"{title} by epoch; last values: {last}.")


def _last(values: Floats) -> float:
    """The last finite value."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else np.nan
