"""Which of the labelled texts a linear member learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.splitting import labelled

if TYPE_CHECKING:
    from tasks.linear.schema import Kind
    from tasks.linear.settings import LinearSettings
    from tasks.shared.statistics.metrics import Ints


def most_megabytes(settings: LinearSettings, name: Kind) -> float:
    """Megabytes of text that the member learns from, at most: `linear.<name>_max_megabytes`."""
    most: float = getattr(settings, f"{name}_max_megabytes")
    return most


def sample(settings: LinearSettings, name: Kind, known: labelled.LabelledTexts, sizes: Ints) -> Ints:
    """Positions, in order, of the texts that the member learns from; `sizes` are their bytes in UTF-8, [texts]."""
    return labelled.sample(known, sizes, most_megabytes(settings, name))
