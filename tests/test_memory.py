"""A process whose memory runs out ends in one line, wherever that is noticed."""

from __future__ import annotations

import json
import logging
import re
import resource
import subprocess
import sys
from itertools import pairwise

import pytest
from conftest import PROJECT, Pipeline

from flows.cli.main import _explain
from flows.ops.log_lines import _is_unexpected
from tasks.shared.errors import out_of_memory

MULTIPLY = """
import resource, sys
from pathlib import Path
if sys.argv[2] == "loaded":
    import numpy, scipy.linalg.blas
from tasks.shared.errors import out_of_memory
from tasks.shared.runner.cores import reserve_blas
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]) * 2**20,) * 2)
try:
    reserve_blas({"numpy", "scipy"})
except OSError as error:
    print(out_of_memory(error))
else:
    import numpy, scipy.linalg.blas
    square = numpy.ones((300, 300))
    print((square @ square).sum(), scipy.linalg.blas.dgemm(1.0, square, square).sum())
"""


NO_MEMORY = "memory ran out ([Errno 12] Cannot allocate memory); finished stages are kept"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("mebibytes", "libraries", "said"),
    [(16, "loaded", NO_MEMORY), (512, "loaded", "27000000.0 2700000")]
    + [(mebibytes, "not loaded", NO_MEMORY) for mebibytes in (60, 190, 220, 300)]
    + [(1024, "not loaded", "27000000.0 2700000")],
)
def test_openblas_without_memory_is_one_line_and_no_loop(mebibytes: int, libraries: str, said: str) -> None:
    command = [sys.executable, "-c", MULTIPLY, str(mebibytes), libraries]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(said)


WAITS_WITHOUT_END = """
import threading
from flows.ops.ending import prompt_end
from flows.pipeline import runs
runs.SECONDS_TO_REPORT = 1
with prompt_end():
    try:
        with runs.open_run("retrain", "pipeline.yaml", None):
            raise MemoryError
    except Exception:
        threading.Event().wait()
"""


def test_a_run_without_memory_ends_though_prefect_waits_for_a_dead_thread(pipeline: Pipeline) -> None:
    command = [sys.executable, "-c", WAITS_WITHOUT_END]
    done = subprocess.run(
        command,
        cwd=pipeline.root,
        env=pipeline.environment | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("corpusflow: memory ran out (no more could be allocated); finished stages are kept: lower")
    (record,) = [json.loads(path.read_text()) for path in (pipeline.data / "runs").glob("*.json")]
    assert record["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("mebibytes", [2_000, 2_300])
def test_a_run_under_a_limit_is_done_or_ends_in_one_line_that_names_limit_and_setting(
    pipeline: Pipeline, mebibytes: int
) -> None:
    limit = mebibytes * 2**20
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run"],
        cwd=pipeline.root,
        env=pipeline.environment | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    if done.returncode != 0:
        assert done.returncode == 1, done.stderr
        said = done.stderr.splitlines()[-1]
        assert said.startswith("corpusflow: memory ran out (")
        assert re.search(rf"lower .*, or raise the limit of {mebibytes:,} MiB \(ulimit -v\), and run again$", said)


def chained(*errors: BaseException) -> BaseException:
    """The last error, raised while the others were handled."""
    for before, after in pairwise(errors):
        after.__context__ = before
    return errors[-1]


def test_an_error_that_lack_of_memory_has_led_to_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = chained(OSError(12, "Cannot allocate memory"), ValueError("a state that is none"), KeyError("loop"))
    assert _explain(error) == 1
    said = capsys.readouterr().err
    line = (
        "corpusflow: memory ran out ([Errno 12] Cannot allocate memory); finished stages are kept: lower runner.workers"
    )
    assert said.startswith(line)
    assert said.endswith(", and run again\n")
    assert said.count("\n") == 1
    record = logging.LogRecord("prefect.flow_runs", logging.ERROR, "", 1, "%s", ("failed",), (KeyError, error, None))
    assert not _is_unexpected(record)


def test_an_error_of_another_kind_is_not_taken_for_it() -> None:
    error = chained(ValueError("a"), OSError(28, "No space left on device"))
    error.__cause__ = error.__context__
    assert out_of_memory(error) is None
    with pytest.raises(OSError, match="No space"):
        _explain(error)
