"""The GPU benchmark needs only torch, numpy and pyarrow, and runs on the CPU too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import runpy, sys
for name in sys.argv.pop().split(): sys.modules[name] = None
runpy.run_module("benchmarks.gpu", run_name="__main__", alter_sys=True)
"""
PACKAGES = "prefect great_expectations pydantic pandas safetensors sklearn scipy nltk matplotlib click rich tokenizers"
TINY = ("--device", "cpu", "--widths", "8", "--windows", "16", "--tokens", "64", "--rounds", "1")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *TINY, *options, PACKAGES]
    root = Path(__file__).resolve().parents[1]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_it_needs_only_torch_numpy_and_pyarrow_and_the_cpu_agrees_with_float64() -> None:
    done = run("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    cells = ["none", "rnn", "gru", "lstm", "mingru", "minlstm"]
    assert [row["cell"] for row in result["agreement"]] == cells + cells[1:]
    assert [row["objective"] for row in result["agreement"]] == ["labels"] * 6 + ["language"] * 5
    assert all(row["agrees"] and row["repeats"] and row["float32_error"] < 1e-4 for row in result["agreement"])
    assert result["device"].startswith("cpu")
    assert set(result["ceilings"]["flops"]) == {"float32", "bfloat16"}
    assert [row["cell"] for row in result["speed"]] == cells * 2
    assert all(row["tokens_per_second"] > 0 and row["share_of_ceilings"] > 0 for row in result["speed"])
    assert {row["ratio_to_gru"] for row in result["speed"] if row["cell"] == "gru"} == {1.0}


@pytest.mark.slow
def test_it_says_that_there_is_no_gpu() -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "says nothing about a GPU" in done.stdout
