"""Lays out a graph of stages from left to right: a column per depth, long edges around the stages between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 122, 58, 30, 16, 8
PASSING = 10
"""Height that a passing edge takes in a column."""
Edge = tuple[str, str]


@dataclass(frozen=True)
class Box:
    """The place of a stage: its left upper corner, in pixels."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Line:
    """An edge as an SVG path; a `shortcut` is implied by longer ways between the same stages."""

    source: str
    target: str
    path: str
    shortcut: bool


@dataclass(frozen=True)
class Drawing:
    """The whole graph; all boxes have the same size."""

    width: float
    height: float
    box_width: float
    box_height: float
    boxes: Sequence[Box]
    lines: Sequence[Line]


def draw(names: Sequence[str], edges: Iterable[Edge]) -> Drawing:
    """The layout of a graph without cycles; edges between unknown names are left out."""
    known = sorted({edge for edge in edges if set(edge) <= set(names) and edge[0] != edge[1]})
    depth = _depths(names, known)
    columns, ways = _columns(names, known, depth)
    for _ in range(3):
        _reorder(columns, ways.values())
    places, height = _places(columns)
    implied = _shortcuts(known)
    boxes = [Box(name, *places[name]) for name in names]
    lines = [Line(*edge, _path([places[point] for point in way]), edge in implied) for edge, way in ways.items()]
    width = 2 * MARGIN + len(columns) * WIDTH + (len(columns) - 1) * GAP_X
    return Drawing(width, height, WIDTH, HEIGHT, boxes, lines)


def _depths(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    before: dict[str, set[str]] = {name: set() for name in names}
    for source, target in edges:
        before[target].add(source)
    depth: dict[str, int] = {}
    for name in TopologicalSorter(before).static_order():
        depth[name] = 1 + max((depth[source] for source in before[name]), default=-1)
    return depth


def _columns(
    names: Sequence[str], edges: Sequence[Edge], depth: Mapping[str, int]
) -> tuple[list[list[str]], dict[Edge, list[str]]]:
    """The points of each column, and the points of each edge; an edge has a point in each column that it passes."""
    columns: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=0))]
    for name in names:
        columns[depth[name]].append(name)
    ways = {}
    for source, target in edges:
        passed = [f"{source} → {target} @{column}" for column in range(depth[source] + 1, depth[target])]
        for column, point in enumerate(passed, depth[source] + 1):
            columns[column].append(point)
        ways[source, target] = [source, *passed, target]
    return columns, ways


def _reorder(columns: list[list[str]], ways: Iterable[list[str]]) -> None:
    """Sorts each column by the mean position of what its points are connected to, there and back."""
    near: dict[str, list[str]] = defaultdict(list)
    for way in ways:
        for one, other in pairwise(way):
            near[one].append(other)
            near[other].append(one)
    position = {point: place / max(1, len(column)) for column in columns for place, point in enumerate(column)}
    for column in [*columns, *reversed(columns)]:
        mean = {p: sum(position[n] for n in near[p]) / len(near[p]) if near[p] else position[p] for p in column}
        column.sort(key=lambda point: (round(mean[point], 6), "@" in point))
        position |= {point: place / max(1, len(column)) for place, point in enumerate(column)}


def _places(columns: list[list[str]]) -> tuple[dict[str, tuple[float, float]], float]:
    """The left upper corner of each point, columns centred; and the height of all."""
    heights: list[float] = [sum(_height(point) for point in column) + GAP_Y * (len(column) - 1) for column in columns]
    tallest = max(heights, default=0.0)
    places: dict[str, tuple[float, float]] = {}
    for number, column in enumerate(columns):
        y = MARGIN + (tallest - heights[number]) / 2
        for point in column:
            places[point] = (MARGIN + number * (WIDTH + GAP_X), y)
            y += _height(point) + GAP_Y
    return places, tallest + 2 * MARGIN


def _height(point: str) -> int:
    return PASSING if "@" in point else HEIGHT


def _path(places: Sequence[tuple[float, float]]) -> str:
    """A curve from the right side of the first place to the left side of the last, straight through those between."""
    x, y = places[0][0] + WIDTH, places[0][1] + HEIGHT / 2
    parts = [f"M{x:g} {y:g}"]
    for number, (left, top) in enumerate(places[1:], 1):
        last = number == len(places) - 1
        middle = top + (HEIGHT if last else PASSING) / 2
        bend = (left - x) / 2
        parts.append(f"C{x + bend:g} {y:g} {left - bend:g} {middle:g} {left:g} {middle:g}")
        x, y = left, middle
        if not last:
            x += WIDTH
            parts.append(f"H{x:g}")
    return "".join(parts)


def _shortcuts(edges: Sequence[Edge]) -> set[Edge]:
    """The edges whose target can be reached from their source in more than one step."""
    after: dict[str, set[str]] = defaultdict(set)
    for source, target in edges:
        after[source].add(target)

    def reaches(source: str, target: str) -> bool:
        return target in after[source] or any(reaches(step, target) for step in after[source])

    return {(s, t) for s, t in edges if any(step != t and reaches(step, t) for step in after[s])}
