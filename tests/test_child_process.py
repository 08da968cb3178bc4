"""A child process ends with its parent, however the parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.shared.child_process import child_process, close_input, send

CHILD = """
import os, sys, time
from tasks.shared.child_process import end_with_parent
print(os.getpid(), sys.stdin.readline(), sep="\\n", end="", flush=True)
try:
    end_with_parent(code=3, grace={grace})
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(4)
"""
PARENT = """
import os, sys, time
from tasks.shared.child_process import child_process, send
with child_process("child", environment=os.environ) as child:
    send(child, "text\\n")
    print(child.stdout.readline(), end="", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "child.py").write_text(CHILD.format(grace=0))
    (tmp_path / "graceful.py").write_text(CHILD.format(grace=10))
    here = Path(__file__).resolve().parents[1]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(here)])}


@pytest.mark.parametrize(("module", "code"), [("child", 3), ("graceful", 4)])
def test_closing_the_input_ends_the_child(environment: dict[str, str], module: str, code: int):
    with child_process(module, environment=environment) as child:
        send(child, "text\n")
        assert child.stdout is not None
        assert [child.stdout.readline(), child.stdout.readline()] == [f"{child.pid}\n", "text\n"]
        close_input(child)
        send(child, "nobody reads this\n")
        assert child.wait(20) == code


def test_a_killed_parent_takes_the_child_with_it(environment: dict[str, str]):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    until = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)
