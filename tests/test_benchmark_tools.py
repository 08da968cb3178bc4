"""The pipeline beside other tools, on few texts."""

from __future__ import annotations

import json
import subprocess
import sys

from tasks.shared.store.fingerprint import PROJECT


def test_all_find_the_same_and_are_timed_beside_the_pipeline() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tools", "--texts", "300", "--rounds", "1", "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows = json.loads(done.stdout)
    found = {(row["work"], row["tool"]) for row in rows}
    assert found >= {
        *(("reading", tool) for tool in ("corpusflow", "pyarrow")),
        *(("exact duplicates", tool) for tool in ("corpusflow", "pyarrow")),
        *(("near duplicates", tool) for tool in ("corpusflow", "rensa")),
        *(("encoding", tool) for tool in ("corpusflow", "tiktoken", "tokenizers")),
    }
    assert all(row["times_as_long"] == 1 for row in rows if row["tool"] == "corpusflow")
    assert all(row["seconds"] > 0 for row in rows)
