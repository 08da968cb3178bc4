"""Line charts as coordinates, for a template that draws them in the page's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HALF, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1080, 520, 230, 46, 14, 12, 30


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
        y=[Tick(y(tick), f"{tick:.4g}") for tick in ticks],
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
