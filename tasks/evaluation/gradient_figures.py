"""Pictures of gradients: their norm by lag in each recurrent layer, and by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, MaxNLocator

from tasks.evaluation.results import GradientProfile
from tasks.shared.plots.drawing import Palette, Picture, picture
from tasks.shared.statistics.metrics import Floats

LAGS = (1, 16, 64)
"""Lags shown over the epochs."""
LINES = ("-", "--", ":")


def gradient_pictures(
    history: Mapping[str, Floats], max_grad_norm: float | None, profiles: Sequence[GradientProfile]
) -> list[Picture]:
    """The norms over the epochs, then the profiles of each layer: of the last epoch, and over the epochs."""
    pictures = [clipping(history, max_grad_norm)] if "gradient_norm_mean" in history else []
    last = max((profile.epoch for profile in profiles), default=0)
    for layer in sorted({profile.layer for profile in profiles}):
        of_layer = [profile for profile in profiles if profile.layer == layer]
        pictures.append(by_lag(layer, [profile for profile in of_layer if profile.epoch == last]))
        if len({profile.epoch for profile in of_layer}) > 1:
            pictures.append(by_epoch(layer, of_layer))
    return pictures


def clipping(history: Mapping[str, Floats], max_grad_norm: float | None) -> Picture:
    """Mean and largest gradient norm of the steps of each epoch, and the norm above which they were clipped."""
    lines = {"mean": history["gradient_norm_mean"], "largest": history.get("gradient_norm_max", np.empty(0))}

    def draw(axes: Axes, palette: Palette) -> None:
        for (name, values), line, colour in zip(lines.items(), LINES, (palette.first, palette.second), strict=False):
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, _positive(values), line, marker=".", color=colour, label=name)
        if max_grad_norm is not None:
            axes.axhline(max_grad_norm, color=palette.third, linewidth=1, linestyle="-.", label="clipped above")
        _finish(axes, "Gradient norm of the steps", "epoch")
        axes.set_ylabel("norm of all weights’ gradient")

    values = ", ".join(f"{name} {values[-1]:.3g}" for name, values in lines.items() if len(values))
    level = "" if max_grad_norm is None else f" Clipped above {max_grad_norm:.4g}."
    return picture(
        draw,
        3.7,
        2.7,
        f"Gradient norm of the training steps by epoch, before clipping; in the last one: {values}.{level}",
    )


def by_lag(layer: int, profiles: Sequence[GradientProfile]) -> Picture:
    """Norm by lag, on a logarithmic scale; the shade spans the windows."""

    def draw(axes: Axes, palette: Palette) -> None:
        styles = product(LINES[:2], (palette.first, palette.second))
        for profile, (line, colour) in zip(
            sorted(profiles, key=lambda profile: profile.state != "h"), styles, strict=False
        ):
            low, high = _positive(profile.smallest), _positive(profile.largest)
            axes.fill_between(profile.lag, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(profile.lag, _positive(profile.norm), line, color=colour, label=profile.name)
        _finish(axes, f"Layer {layer}: gradients by lag", "lag: steps to the loss")
        axes.set_ylabel("‖∂L/∂state‖")

    return picture(draw, 3.7, 2.7, f"Layer {layer}: gradient norm by lag. {_in_words(profiles)}.")


def by_epoch(layer: int, profiles: Sequence[GradientProfile]) -> Picture:
    """Norm of the forward direction's h at a few lags, by epoch."""
    chosen = sorted((r for r in profiles if r.name == "forward, h"), key=lambda profile: profile.epoch)

    def draw(axes: Axes, palette: Palette) -> None:
        for lag, line, colour in zip(LAGS, LINES, (palette.first, palette.second, palette.third), strict=True):
            values = _positive(np.array([profile.at(lag) for profile in chosen]))
            axes.plot([profile.epoch for profile in chosen], values, line, marker=".", color=colour, label=f"lag {lag}")
        _finish(axes, f"Layer {layer}: forward, by epoch", "epoch")
        axes.set_ylabel("‖∂L/∂h‖")

    ends = [chosen[0], chosen[-1]]
    values = "; ".join(
        f"epoch {profile.epoch}: {', '.join(f'{profile.at(lag):.2g} at lag {lag}' for lag in LAGS)}" for profile in ends
    )
    return picture(draw, 3.7, 2.7, f"Layer {layer}: gradient norm of the forward states by epoch and lag. {values}.")


def _finish(axes: Axes, title: str, along: str) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatter())  # the default one writes mathtext, which is off (drawing.py)
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    axes.grid()
    axes.set_title(title, fontsize=9.5, loc="left", fontweight="bold")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(along)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", handlelength=1.8)


def _positive(values: Floats) -> Floats:
    """Values that a logarithmic scale cannot show become NaN."""
    return np.where(values > 0, values, np.nan)


def _in_words(profiles: Sequence[GradientProfile]) -> str:
    ends = [(profile.name, profile.norm[0], int(profile.lag[-1]), profile.norm[-1]) for profile in profiles]
    return "; ".join(f"{name}: {near:.3g} at lag 0, {last:.3g} at lag {far}" for name, near, far, last in ends)
