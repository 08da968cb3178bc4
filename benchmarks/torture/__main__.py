"""Faults, one after another: `python -m benchmarks.torture [--share 0.1] [--only GROUP …] [--json] [--write]`.

Each line of the table is a promise of docs/reliability.md. A line is whole if all its trials are right; the exit code
is 1 if one is not. Trials are seeded: the same seed and name repeat them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.torture.lab import Lab
from benchmarks.torture.running import Trials
from benchmarks.torture.table import Line, as_json, as_markdown, write

GROUPS = (
    *("soak", "deployment", "orchestration", "crashes", "several", "damage", "storage", "corpora", "settings"),
    "surface",
)
"""In the order in which they start: the soak is one trial that takes minutes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the trials, at least one of each line")
    parser.add_argument("--only", nargs="*", choices=GROUPS, metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--trial", default="", help="only the trials whose name matches this regular expression")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="trials at once; many of them wait")
    parser.add_argument("--keep", action="store_true", help="keep the folders of trials that are not right")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument(
        "--write", action="store_true", help="write the lines of each group that has ended into docs/reliability.md"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that servers and folders do not stay
    root = Path(tempfile.mkdtemp(prefix="torture-"))
    lab, started = Lab(root), time.monotonic()

    def group_ended(lines: list[Line]) -> None:
        if arguments.write:
            write(lines, GROUPS, time.monotonic() - started)

    try:
        planned = [
            (group, trial)
            for group in arguments.only or GROUPS
            for trial in importlib.import_module(f"benchmarks.torture.{group}").plan(lab, arguments.share)
            if re.search(arguments.trial, trial.name)
        ]
        lines: list[Line] | None = Trials(lab, planned, arguments.seed, arguments.keep, group_ended).run(arguments.jobs)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        lines = None
    finally:
        lab.stop()
        if not arguments.keep:
            shutil.rmtree(root, ignore_errors=True)
    if lines is None:
        print("interrupted; --only and the groups that are not done continue", file=sys.stderr)
        os._exit(130)  # without the trials that run
    print(as_json(lines) if arguments.json else as_markdown(lines))
    sys.exit(any(line.right < line.trials for line in lines))


if __name__ == "__main__":
    main()
