"""How far gradients reach through a recurrent layer, as the model folder says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.shared.statistics.metrics import Floats


@dataclass(frozen=True)
class Reach:
    """Gradient norms of one layer, direction and kind of state after one epoch."""

    epoch: int
    layer: int
    direction: str
    state: str
    distance: Floats
    """Steps from the loss, ascending; [distances], as the rest."""
    norm: Floats
    """Mean over windows."""
    smallest: Floats
    largest: Floats

    @property
    def name(self) -> str:
        """What the legend calls it."""
        return f"{self.direction}, {self.state}"

    def at(self, distance: int) -> float:
        """The norm at a distance; NaN where windows are shorter."""
        return float(self.norm[distance]) if distance < len(self.norm) else np.nan
