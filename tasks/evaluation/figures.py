"""The report's pictures. Marks differ in shape as well as in colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from tasks.evaluation.calibration import Reliability
from tasks.evaluation.results import MOST_LABELS_DRAWN, Estimate
from tasks.shared.plots.curves import Series
from tasks.shared.plots.drawing import Palette, Picture, picture
from tasks.shared.statistics.metrics import Floats, Ints

INCHES_PER_ROW = 0.23


def _rows(axes: Axes, names: Sequence[str]) -> Floats:
    """One row per name, the first at the top; returns the y coordinates."""
    axes.set_yticks(range(len(names)), [shorten(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    return np.arange(len(names), dtype=np.float64)


def shorten(name: str, characters: int = 28) -> str:
    """The name, truncated to fit next to a plot."""
    return name if len(name) <= characters else name[: characters - 1] + "…"


def _whiskers(
    axes: Axes, rows: Floats, estimates: Sequence[Estimate], colour: str, mark: str, name: str | None
) -> None:
    values = np.array([[e.value, e.low, e.high] for e in estimates]).T
    axes.hlines(rows, values[1], values[2], color=colour, linewidth=1.6)
    axes.plot(values[0], rows, mark, color=colour, markersize=5.5, label=name)


def forest(names: Sequence[str], accuracy: Sequence[Estimate], macro_f1: Sequence[Estimate]) -> Picture:
    """Accuracy and macro-F1 of several classifiers with intervals; the first is the model."""

    def draw(axes: Axes, palette: Palette) -> None:
        rows = _rows(axes, names)
        _whiskers(axes, rows - 0.14, accuracy, palette.first, "o", "accuracy")
        _whiskers(axes, rows + 0.14, macro_f1, palette.second, "s", "macro-F1")
        axes.axvline(accuracy[0].value, color=palette.first, linewidth=0.8, linestyle=":")
        axes.axvline(macro_f1[0].value, color=palette.second, linewidth=0.8, linestyle=":")
        axes.set_xlim(-0.02, 1.02)
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)

    values = "; ".join(
        f"{name}: accuracy {a.value:.3f} ({a.low:.3f} to {a.high:.3f}), macro-F1 {f.value:.3f}"
        for name, a, f in zip(names, accuracy, macro_f1, strict=True)
    )
    return picture(draw, 5.2, 0.8 + 0.42 * len(names), f"Accuracy and macro-F1 with intervals. {values}.")


def label_scores(names: Sequence[str], f1: Sequence[Estimate], support: Ints) -> Picture:
    """F1 of each label with its interval; of many labels, those with the lowest F1."""
    worst = np.sort(np.argsort([e.value for e in f1], kind="stable")[:MOST_LABELS_DRAWN])
    names, f1, support = [names[i] for i in worst], [f1[i] for i in worst], support[worst]
    titles = [f"{shorten(name, 22)} ({count})" for name, count in zip(names, support, strict=True)]

    def draw(axes: Axes, palette: Palette) -> None:
        _whiskers(axes, _rows(axes, titles), f1, palette.first, "o", None)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("F1 (test documents in brackets)")

    values = ", ".join(f"{name} {e.value:.2f}" for name, e in zip(names, f1, strict=True))
    return picture(draw, 5.2, 0.7 + INCHES_PER_ROW * len(names), f"F1 of each label with intervals: {values}.")


def confusion(names: Sequence[str], matrix: Ints) -> Picture:
    """The confusion matrix: the shade is the share of the row, the numbers are documents."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    numbers = len(names) <= 30
    size = 1.5 + min(max(INCHES_PER_ROW * len(names), 1.8), 7.5)

    def draw(axes: Axes, palette: Palette) -> None:
        shades = LinearSegmentedColormap.from_list("shares", [palette.low, palette.high])
        axes.set_facecolor(palette.low)
        cells = list(zip(*np.nonzero(matrix), strict=True))
        axes.add_collection(
            PatchCollection(
                [Rectangle((column, row), 1, 1) for row, column in cells],
                facecolors=[shades(shares[cell]) for cell in cells],
                linewidths=0,
            )
        )
        middles, titles = np.arange(len(names)) + 0.5, [shorten(name, 18) for name in names]
        small = 8.0 if numbers else 5.0
        axes.set_yticks(middles, titles, fontsize=small)
        axes.set_xticks(middles, titles, rotation=90, fontsize=small)
        axes.set_xticks(range(len(names) + 1), minor=True)
        axes.set_yticks(range(len(names) + 1), minor=True)
        axes.grid(which="minor")
        axes.set(xlim=(0, len(names)), ylim=(len(names), 0), aspect="equal")
        axes.set(ylabel="true label", xlabel="predicted label")
        for row, column in cells if numbers else ():
            colour = palette.ink_on_high if shares[row, column] > 0.5 else palette.ink
            position = (column + 0.5, row + 0.53)
            axes.annotate(str(matrix[row, column]), position, ha="center", va="center", color=colour, fontsize=7.5)

    correct, documents = int(np.trace(matrix)), int(matrix.sum())
    alt = (
        f"Confusion matrix of {documents} test documents: {correct} on the diagonal. metrics.json has the same counts."
    )
    return picture(draw, size, size, alt)


def calibration(table: Reliability) -> Picture:
    """Accuracy over confidence; the size of a mark grows with the documents in the bin."""
    filled = table.documents > 0
    counts = table.documents[filled]

    def draw(axes: Axes, palette: Palette) -> None:
        axes.plot([0, 1], [0, 1], color=palette.ink, linewidth=0.8, linestyle="--", label="well calibrated")
        area = 20 + 260 * counts / counts.max()
        axes.scatter(table.confidence[filled], table.accuracy[filled], area, palette.first, alpha=0.75, linewidths=0)
        for x, y, count in zip(table.confidence[filled], table.accuracy[filled], counts, strict=True):
            axes.annotate(str(count), (x, y), (0, 11), textcoords="offset points", ha="center", fontsize=7.5)
        axes.set(xlim=(0, 1), ylim=(-0.05, 1.12), xlabel="probability of the predicted label", ylabel="share correct")
        axes.grid()
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1))

    values = "; ".join(
        f"{count} documents at {x:.2f}: {y:.2f} correct"
        for x, y, count in zip(table.confidence[filled], table.accuracy[filled], counts, strict=True)
    )
    return picture(draw, 4.2, 3.4, f"Share of correct predictions by probability. {values}.")


def balance(names: Sequence[str], shares: Sequence[Series]) -> Picture:
    """Each label's share of each split; the closer the marks, the better the splits keep the balance.

    Of many labels, those with the largest shares.
    """
    largest = np.sort(np.argsort(-np.sum([one.values for one in shares], 0), kind="stable")[:MOST_LABELS_DRAWN])
    names = [names[i] for i in largest]
    marks = "o", "s", "D"

    def draw(axes: Axes, palette: Palette) -> None:
        rows = _rows(axes, names)
        colours = (palette.first, palette.second, palette.third)
        for one, mark, colour, shift in zip(shares, marks, colours, (-0.22, 0, 0.22), strict=True):
            axes.plot(one.values[largest] * 100, rows + shift, mark, color=colour, label=one.name, markersize=4)
        axes.set_xlim(left=0)
        axes.set_xlabel("per cent of the split's documents")
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=3)

    height = 1.0 + INCHES_PER_ROW * len(names)
    alt = "Share of each label in the training, validation and test split; the counts are in the table of labels."
    return picture(draw, 5.2, height, alt)
