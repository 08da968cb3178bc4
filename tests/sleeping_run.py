"""A process that waits for two workers which sleep: what is left of them when it is interrupted or killed?"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from runner_calls import importable

SCRIPT = """
import sys
from pathlib import Path
import runner_calls
from tasks.shared.runner.calls import Call, run_calls
from tasks.shared.runner.pool import open_executor
calls = [Call(f"call {number}", runner_calls.sleep, (sys.argv[2],)) for number in range(3)]
with open_executor(sys.argv[1], 2) as executor:
    list(run_calls(executor, calls, Path(sys.argv[2]) / "messages"))
"""


def start_sleeping_run(kind: str, folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """The process, in a session of its own, once its two workers sleep, and their process ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, kind, str(folder)],
        env=importable(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    until = time.monotonic() + 60
    while len(found := list(folder.glob("asleep-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    return process, [int(path.name.rpartition("-")[2]) for path in found]
