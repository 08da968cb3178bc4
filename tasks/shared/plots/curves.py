"""Curves over the epochs of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tasks.shared.plots.drawing import Palette, Picture, picture
from tasks.shared.statistics.metrics import Floats

CURVES = {
    "Loss": {"train_loss": "training", "validation_loss": "validation"},
    "Accuracy": {
        "train_window_accuracy": "training windows (or tokens)",
        "validation_window_accuracy": "validation windows (or tokens)",
        "validation_accuracy": "validation documents",
    },
    "Macro-F1": {"validation_macro_f1": "validation documents"},
    "Learning rate": {"learning_rate": "at the epoch's end"},
}
"""Title of each training curve, and its lines: columns of the history, in words."""


@dataclass(frozen=True)
class Series:
    """One line of a training curve: its name and one value per epoch."""

    name: str
    values: Floats


def training_curves(history: Mapping[str, Floats]) -> list[Picture]:
    """One picture for each entry of `CURVES` that the history has figures of; a point among several epochs is none."""
    kept = kept_epoch(history)
    known = {column: int(np.isfinite(values).sum()) for column, values in history.items()}
    history = {column: values for column, values in history.items() if known[column]}
    found = {
        title: [Series(name, history[column]) for column, name in lines.items() if column in history]
        for title, lines in CURVES.items()
    }
    return [
        curves(title, series, kept)
        for title, series in found.items()
        if any(known[column] > 1 or len(history[column]) == 1 for column in CURVES[title] if column in history)
    ]


def kept_epoch(history: Mapping[str, Floats]) -> int | None:
    """The epoch whose weights the model has, counted from 1; None where the history does not say."""
    kept = np.flatnonzero(history.get("kept", np.zeros(0)))
    return int(kept[-1]) + 1 if len(kept) else None


def curves(title: str, series: Sequence[Series], kept: int | None) -> Picture:
    """One training curve with a line per series; `kept` is the epoch whose weights the model has (from 1)."""
    lines = ("-", "--", ":")

    def draw(axes: Axes, palette: Palette) -> None:
        colours = (palette.first, palette.second, palette.third)
        for one, colour, line in zip(series, colours, lines, strict=False):
            epochs = np.arange(1, len(one.values) + 1)
            few = np.isfinite(one.values).sum() < 3  # no line leads through them
            axes.plot(epochs, one.values, line, marker="." if few else None, color=colour, label=one.name)
        if kept is not None:
            axes.axvline(kept, color=palette.ink, linewidth=0.8, linestyle=":")
        axes.grid()
        axes.set_title(title, fontsize=9.5, loc="left", fontweight="bold")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        axes.legend(loc="best", handlelength=1.6)

    last = ", ".join(f"{one.name} {_last(one.values):.4g}" for one in series)
    return picture(draw, 3.5, 2.4, f"{title} by epoch; at last: {last}.")


def _last(values: Floats) -> float:
    """The last figure that there is: some objectives have one of the kept epoch alone."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else np.nan
