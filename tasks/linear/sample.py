"""Which of the labelled texts a linear member learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.splitting.labelled import choose_texts

if TYPE_CHECKING:
    from tasks.linear.schema import Kind
    from tasks.linear.settings import LinearSettings
    from tasks.shared.statistics.metrics import Ints
    from tasks.splitting.labelled import LabelledTexts


def most_megabytes(settings: LinearSettings, name: Kind) -> float:
    """Megabytes of text that the member learns from, at most: `linear.<name>_max_megabytes`."""
    most: float = getattr(settings, f"{name}_max_megabytes")
    return most


def sample(settings: LinearSettings, name: Kind, known: LabelledTexts, sizes: Ints) -> Ints:
    """Positions, in order, of the texts that the member learns from; `sizes` are their bytes in UTF-8, [texts]."""
    return choose_texts(known.doc_ids, known.labels, sizes, int(most_megabytes(settings, name) * 1e6))
