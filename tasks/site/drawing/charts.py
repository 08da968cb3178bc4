"""Line charts and histograms as coordinates, for a template that draws them in the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HALF, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1080, 520, 230, 46, 14, 12, 30
BINS, TICKS = 24, 7
"""Bins of a histogram, and labels on its horizontal axis, at most."""


@dataclass(frozen=True)
class Value:
    """A value of a series: at a time, with a link and a hint."""

    place: float
    value: float
    hint: str = ""
    link: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Point:
    """A value, in pixels."""

    x: float
    y: float
    hint: str
    link: str
    marked: bool


@dataclass(frozen=True)
class Drawn:
    """A series, in pixels."""

    name: str
    points: Sequence[Point]
    path: str


@dataclass(frozen=True)
class Tick:
    """A label on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A line chart; `y` are horizontal lines, `x` labels below the axis."""

    width: int
    height: int
    left: int
    right: int
    bottom: int
    lines: Sequence[Drawn]
    y: Sequence[Tick]
    x: Sequence[Tick]


@dataclass(frozen=True)
class Bin:
    """A bin of a histogram: whole numbers from `low` to `high`, in pixels, and what it holds of both samples."""

    low: int
    high: int
    x: float
    width: float
    y: float
    height: float
    count: int
    share: float
    before: float | None
    """The share of the earlier sample; None if there is none."""


@dataclass(frozen=True)
class Histogram:
    """Shares of a sample as bars and of an earlier one as an outline (empty if there is none)."""

    width: int
    height: int
    left: int
    right: int
    bottom: int
    bins: Sequence[Bin]
    outline: str
    y: Sequence[Tick]
    x: Sequence[Tick]


def line_chart(
    series: Sequence[tuple[str, Sequence[Value]]],
    labels: Sequence[tuple[float, str]] = (),
    floor: float | None = None,
    width: int = WIDTH,
) -> Chart | None:
    """Series over a common horizontal axis; None if they have no finite value.

    The vertical axis begins at `floor`; `width` is in pixels.
    """
    finite = [(name, [v for v in values if math.isfinite(v.value)]) for name, values in series]
    every = [v for _, values in finite for v in values]
    if not every:
        return None
    low, high = min(v.value for v in every), max(v.value for v in every)
    ticks = nice_ticks(low if floor is None else min(floor, low), high)
    first, last = min(v.place for v in every), max(v.place for v in every)

    def x(place: float) -> float:
        share = (place - first) / (last - first) if last > first else 0.5
        return round(LEFT + 10 + share * (width - LEFT - RIGHT - 20), 1)

    def y(value: float) -> float:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for name, values in finite:
        points = [Point(x(v.place), y(v.value), v.hint, v.link, v.marked) for v in values]
        lines.append(Drawn(name, points, "M" + "L".join(f"{p.x:g} {p.y:g}" for p in points) if points else ""))
    return Chart(
        *(width, HEIGHT, LEFT, width - RIGHT, HEIGHT - BOTTOM),
        lines=lines,
        y=[Tick(y(tick), text) for tick, text in zip(ticks, same_decimals(ticks), strict=True)],
        x=[Tick(x(place), text) for place, text in labels],
    )


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round values from at or below `low` to at or above `high`."""
    size = max(abs(low), abs(high), 1e-3)
    span = high - low if high - low > 1e-6 * size else size  # less is a rounding error
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) for i in range(start, max(end, start + 1) + 1)]


def same_decimals(ticks: Sequence[float]) -> list[str]:
    """Labels of an axis, all with as many decimals as the most precise one needs."""
    places = max(len(f"{tick:.4g}".partition(".")[2]) for tick in ticks)
    if any("e" in f"{tick:.4g}" for tick in ticks):
        return [f"{tick:.4g}" for tick in ticks]
    return [f"{tick:,.{places}f}" for tick in ticks]


def histogram(now: Sequence[int], before: Sequence[int] = (), width: int = 640) -> Histogram:
    """The shares of whole numbers in bins of about equal width on a logarithmic axis, of both samples in the same bins.

    `now` has at least one number; numbers below 1 count as 1. `width` is in pixels.
    """
    samples = [np.maximum(np.asarray(each, np.int64), 1) for each in (now, before)]
    low, high = min(int(s.min()) for s in samples if s.size), max(int(s.max()) for s in samples if s.size) + 1
    edges = np.unique(np.rint(np.geomspace(low, high, BINS + 1)).astype(np.int64))
    counts = [np.histogram(sample, edges)[0] for sample in samples]
    shares = [count / max(1, sample.size) for count, sample in zip(counts, samples, strict=True)]
    ticks = nice_ticks(0.0, float(max(share.max() for share in shares)))
    percents = same_decimals([100 * tick for tick in ticks])

    def x(value: float) -> float:
        return round(LEFT + (width - LEFT - RIGHT) * math.log(value / low) / math.log(high / low), 1)

    def y(share: float) -> float:
        return round(HEIGHT - BOTTOM - share / ticks[-1] * (HEIGHT - TOP - BOTTOM), 1)

    places = [x(edge) for edge in edges]
    bins = [
        Bin(
            *(int(edges[i]), int(edges[i + 1]) - 1, places[i], round(places[i + 1] - places[i], 1)),
            *(y(shares[0][i]), round(HEIGHT - BOTTOM - y(shares[0][i]), 1), int(counts[0][i]), float(shares[0][i])),
            before=float(shares[1][i]) if len(before) else None,
        )
        for i in range(len(edges) - 1)
    ]
    steps = "".join(f"V{y(share):g}H{place:g}" for share, place in zip(shares[1], places[1:], strict=True))
    return Histogram(
        *(width, HEIGHT, LEFT, width - RIGHT, HEIGHT - BOTTOM, bins),
        outline=f"M{places[0]:g} {y(0):g}{steps}V{y(0):g}" if len(before) else "",
        y=[Tick(y(tick), f"{text} %") for tick, text in zip(ticks, percents, strict=True)],
        x=[Tick(x(value), f"{value:,}") for value in round_values(low, high - 1)],
    )


def round_values(low: int, high: int) -> list[int]:
    """Values between two positive ones for a logarithmic axis: 1, 2, 5, 10 and so on, powers of ten, or both ends."""
    powers = range(len(str(high)))
    for steps in ((1, 2, 5), (1,)):
        found = [step * 10**power for power in powers for step in steps if low <= step * 10**power <= high]
        if 2 <= len(found) <= TICKS:
            return found
    return sorted({low, high})
