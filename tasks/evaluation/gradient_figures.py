"""Pictures of gradients: how far they reach through a recurrent layer, and how large they were while it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, MaxNLocator

from tasks.evaluation.results import Reach
from tasks.shared.plots.drawing import Palette, Picture, picture
from tasks.shared.statistics.metrics import Floats

SHOWN = (1, 16, 64)
"""Distances that are followed over the epochs."""
LINES = ("-", "--", ":")


def gradient_pictures(
    history: Mapping[str, Floats], clip_norm: float | None, reaches: Sequence[Reach]
) -> list[Picture]:
    """The norms over the epochs, then for each layer how far gradients reach, at the end and over the epochs."""
    found = [clipping(history, clip_norm)] if "gradient_norm_mean" in history else []
    kept = np.flatnonzero(history.get("kept", np.zeros(0)))
    last = int(kept[-1]) + 1 if len(kept) else max((reach.epoch for reach in reaches), default=0)
    for layer in sorted({reach.layer for reach in reaches}):
        of_layer = [reach for reach in reaches if reach.layer == layer]
        found.append(distances(layer, [reach for reach in of_layer if reach.epoch == last]))
        if len({reach.epoch for reach in of_layer}) > 1:
            found.append(over_epochs(layer, of_layer))
    return found


def clipping(history: Mapping[str, Floats], clip_norm: float | None) -> Picture:
    """Mean and largest norm of the steps' gradients in each epoch, and the level from which they were clipped."""
    lines = {"mean": history["gradient_norm_mean"], "largest": history.get("gradient_norm_max", np.empty(0))}

    def draw(axes: Axes, palette: Palette) -> None:
        for (name, values), line, colour in zip(lines.items(), LINES, (palette.first, palette.second), strict=False):
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, _positive(values), line, marker=".", color=colour, label=name)
        if clip_norm is not None:
            axes.axhline(clip_norm, color=palette.third, linewidth=1, linestyle="-.", label="clipped above")
        _finish(axes, "Gradient norm of the steps", "epoch")
        axes.set_ylabel("norm of all weights’ gradient")

    said = ", ".join(f"{name} {values[-1]:.3g}" for name, values in lines.items() if len(values))
    level = "" if clip_norm is None else f" Clipped above {clip_norm:.4g}."
    return picture(
        draw,
        3.7,
        2.7,
        f"Gradient norm of the training steps by epoch, before clipping; in the last one: {said}.{level}",
    )


def distances(layer: int, reaches: Sequence[Reach]) -> Picture:
    """Norm against distance, on a logarithmic scale; the shade spans the windows."""

    def draw(axes: Axes, palette: Palette) -> None:
        styles = product(LINES[:2], (palette.first, palette.second))
        for reach, (line, colour) in zip(sorted(reaches, key=lambda reach: reach.state != "h"), styles, strict=False):
            low, high = _positive(reach.smallest), _positive(reach.largest)
            axes.fill_between(reach.distance, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(reach.distance, _positive(reach.norm), line, color=colour, label=reach.name)
        _finish(axes, f"Layer {layer}: reach of gradients", "distance to the loss, steps")
        axes.set_ylabel("‖∂L/∂state‖")

    return picture(draw, 3.7, 2.7, f"Layer {layer}: gradient norm by distance to the loss. {_said(reaches)}.")


def over_epochs(layer: int, reaches: Sequence[Reach]) -> Picture:
    """Norm of the forward direction's h at a few distances, epoch by epoch."""
    chosen = sorted((r for r in reaches if r.name == "forward, h"), key=lambda reach: reach.epoch)

    def draw(axes: Axes, palette: Palette) -> None:
        for shown, line, colour in zip(SHOWN, LINES, (palette.first, palette.second, palette.third), strict=True):
            values = _positive(np.array([reach.at(shown) for reach in chosen]))
            axes.plot([reach.epoch for reach in chosen], values, line, marker=".", color=colour, label=f"{shown} away")
        _finish(axes, f"Layer {layer}: forward reach, by epoch", "epoch")
        axes.set_ylabel("‖∂L/∂h‖")

    ends = [chosen[0], chosen[-1]]
    said = "; ".join(
        f"epoch {reach.epoch}: {', '.join(f'{reach.at(shown):.2g} at {shown}' for shown in SHOWN)}" for reach in ends
    )
    return picture(draw, 3.7, 2.7, f"Layer {layer}: gradient norm of the forward states by epoch and distance. {said}.")


def _finish(axes: Axes, title: str, along: str) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatter())  # the default one writes mathematics, which is off (drawing.py)
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    axes.grid()
    axes.set_title(title, fontsize=9.5, loc="left", fontweight="bold")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(along)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", handlelength=1.8)


def _positive(values: Floats) -> Floats:
    """What a logarithmic scale has no place for is left out."""
    return np.where(values > 0, values, np.nan)


def _said(reaches: Sequence[Reach]) -> str:
    ends = [(reach.name, reach.norm[0], int(reach.distance[-1]), reach.norm[-1]) for reach in reaches]
    return "; ".join(f"{name}: {near:.3g} at distance 0, {last:.3g} at {far}" for name, near, far, last in ends)
