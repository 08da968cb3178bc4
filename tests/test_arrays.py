"""Arrays in files: numpy's own format, and the system's own errors."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import numpy as np
import pytest

from tasks.shared.arrays import save_array


def test_an_array_is_written_as_numpy_does(tmp_path: Path) -> None:
    for array in (np.arange(100_000).reshape(100, -1).T, np.zeros(0), np.float32([[1.5]])):
        expected = io.BytesIO()
        np.save(expected, array)
        save_array(tmp_path / "a.npy", array)
        assert (tmp_path / "a.npy").read_bytes() == expected.getvalue()


def test_a_full_disk_has_its_number() -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        save_array(Path("/dev/full"), np.ones(100_000))
    assert caught.value.errno == errno.ENOSPC
