"""The JSON output of the benchmark of the recurrent layers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.training.cells.cells import CELLS


@pytest.mark.slow
def test_every_cell_is_compared_to_the_gru_and_the_floor() -> None:
    command = [sys.executable, "-m", "benchmarks.cells", "--json", "--widths", "8", "--windows", "16", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--device", "cpu"], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True
    )
    rows = json.loads(done.stdout)
    assert [row["cell"] for row in rows] == list(CELLS)
    for row in rows:
        assert (row["width"], row["window"], row["batch"]) == (8, 16, 512)
        assert min(row["tokens_per_second"], row["forward_tokens_per_second"], row["ratio_to_floor"]) > 0
        assert (row["bfloat16_tokens_per_second"] is None) == (row["cell"] in {"rnn", "gru", "lstm"})
    assert {row["ratio_to_gru"] for row in rows if row["cell"] == "gru"} == {1.0}
