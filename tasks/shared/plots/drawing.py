"""Draws pictures for light and dark pages, as SVG; equal values give equal bytes.

Leaves matplotlib's global state unchanged, and needs no window system.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Palette:
    """Colours of one scheme; those for marks are Okabe and Ito's, which colour-blind people can distinguish."""

    ink: str
    faint: str
    first: str
    second: str
    third: str
    low: str
    """Zero in a heat map."""
    high: str
    ink_on_high: str


LIGHT = Palette("#1f2328", "#d5d9de", "#0072b2", "#d55e00", "#009e73", "#f6f8fa", "#0a4c80", "#ffffff")
DARK = Palette("#e6e9ed", "#3d444d", "#56b4e9", "#e69f00", "#2fc79a", "#1c2128", "#8fd0ff", "#10151b")


@dataclass(frozen=True)
class Picture:
    """One figure in both schemes, as data URIs, and its description."""

    light: str
    dark: str
    alt: str
    width: int
    """Natural width in CSS pixels."""
    height: int


Draw = Callable[[Axes, Palette], None]


def picture(draw: Draw, width: float, height: float, alt: str) -> Picture:
    """Draws into axes of `width` by `height` inches, once per scheme."""
    light, dark = (_data_uri(_svg(draw, width, height, palette)) for palette in (LIGHT, DARK))
    return Picture(light, dark, alt, round(width * 96), round(height * 96))


def _svg(draw: Draw, width: float, height: float, palette: Palette) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has the glyphs
        mpl.rcdefaults()
        mpl.rcParams.update(_style(palette))
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot(), palette)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return buffer.getvalue()


def _style(palette: Palette) -> dict[Any, Any]:
    colours = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    return dict.fromkeys(colours, palette.ink) | {
        "axes.edgecolor": palette.faint,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.axisbelow": True,
        "font.size": 8.5,
        "grid.color": palette.faint,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "corpusflow",
        "text.parse_math": False,
        **dict.fromkeys(("xtick.major.size", "xtick.minor.size", "ytick.major.size", "ytick.minor.size"), 0),
    }


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def opaque(uri: str) -> str:
    """The same picture on white, for pages with an unknown background."""
    svg = base64.b64decode(uri.partition(",")[2])
    first = b'<g id="figure_1">'
    return _data_uri(svg.replace(first, b'<rect width="100%" height="100%" fill="#ffffff"/>' + first, 1))
