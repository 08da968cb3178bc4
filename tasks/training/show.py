"""Training in Prefect's UI: the learning curve, and the metrics of each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.shared.plots.curves import training_curves
from tasks.shared.plots.drawing import opaque
from tasks.shared.ui.markdown import Markdown, Page, table
from tasks.training.history import read_history

PICTURES = 2
COLUMNS = {
    "train_loss": "training loss",
    "validation_loss": "out-of-fold loss",
    "validation_accuracy": "out-of-fold accuracy",
    "validation_macro_f1": "out-of-fold macro-F1",
    "seconds": "seconds",
}


def pages(artifact: Path) -> Iterator[Page]:
    """Loss and accuracy over the epochs, mean over the networks; no page if nothing was trained."""
    history = read_history(artifact)
    if not history:
        return
    pictures = training_curves(history)[:PICTURES]
    rows = [
        (f"{epoch:.0f}", *(f"{history[column][i]:.3f}" for column in COLUMNS))
        for i, epoch in enumerate(history["epoch"])
    ]
    paragraphs = [
        *(f"![{picture.alt}]({opaque(picture.light)})\n" for picture in pictures),
        table(("epoch", *(f">{title}" for title in COLUMNS.values())), rows),
    ]
    yield Markdown("training-curve", f"Learning curve, {len(rows)} epochs", "\n".join(paragraphs))
