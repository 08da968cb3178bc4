"""What the tests of the runner call in workers: functions that can be imported by name."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

from tasks.extraction.document import read_part
from tasks.shared.errors import TrainingError
from tasks.shared.parts.part import Part
from tasks.shared.progress import report_progress

HERE = Path(__file__).resolve().parent
HEAVY = {"prefect", "great_expectations", "pandas", "torch", "sklearn", "pytest"}


def square(number: int) -> int:
    logging.getLogger("corpusflow.linear").info("linear: squaring %d", number)
    report_progress(0.5)
    return number**2


def loaded() -> list[str]:
    return sorted(HEAVY & set(sys.modules))


def threads() -> list[int]:
    import torch  # noqa: F401
    from threadpoolctl import threadpool_info

    return [int(pool["num_threads"]) for pool in threadpool_info()]


def fail(number: int) -> None:
    raise TrainingError(f"fold {number}: cannot go on")


def break_down() -> None:
    raise ZeroDivisionError("a bug")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(folder: str) -> None:
    Path(folder, f"asleep-{os.getpid()}").touch()
    time.sleep(60)


def measure_part(part: Part, folder: Path, log: str, bad: str) -> dict[str, int]:
    """Counts the documents of a part; fails at the document `bad`."""
    with Path(log).open("a") as file:
        file.write(f"{part.number}\n")
    rows = 0
    for document in read_part(part, ("doc_id", "text")):
        if document.doc_id == bad:
            raise ValueError("bad text")
        rows += 1
    (folder / "rows.txt").write_text(f"{rows} rows")
    return {"rows": rows}


def slow_part(part: Part, folder: Path, log: str) -> dict[str, int]:
    """Takes a third of a second."""
    with Path(log).open("a") as file:
        file.write(f"{part.number}\n")
    time.sleep(0.3)
    (folder / "number").write_text(str(part.number))
    return {"number": part.number}


def where(part: Part, folder: Path) -> dict[str, object]:
    """The process of a call, and what it tells libraries about threads."""
    return {"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}


def importable(**own: str) -> dict[str, str]:
    """The environment of a process that imports this module and the project, with `own` variables."""
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
