"""Arrays that are filled while documents are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


class Column:
    """An array that grows at its end; one of NumPy would be copied each time."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._content = bytearray()

    def __len__(self) -> int:
        return len(self._content) // self._dtype.itemsize

    def add(self, values: npt.NDArray[Any]) -> None:
        """Puts the values after those that are there. Raises BufferError while an array of `filled` is in use."""
        self._content += values.astype(self._dtype, copy=False).tobytes()

    @property
    def filled(self) -> npt.NDArray[Any]:
        """What was added, on the same memory."""
        return np.frombuffer(self._content, self._dtype)
