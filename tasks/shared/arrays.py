"""Arrays in files that numpy maps into memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from typing import IO


def save_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Writes the file that `np.load` reads; pickle is not used.

    Raises OSError with the system's reason, such as a full disk. `np.save` itself, which writes around Python's files,
    says only how many bytes were left.
    """
    with path.open("wb") as file:
        np.save(cast("IO[bytes]", _Writer(file)), array, allow_pickle=False)


class _Writer:
    """A file that numpy does not take for one of the system's."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write
