"""Storage that is full, read-only or faulty, and clocks that go back."""

from __future__ import annotations

import errno
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.torture.crashes import judge_data
from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.launcher import Launcher
from benchmarks.torture.state import champion, digests, one_line
from benchmarks.torture.texts import write_corpus

FULL, FAULTY, TIME = 12, 24, 4
TMPFS = "a disk that is full at any write (tmpfs), or read-only: one line"
CALLS = (
    "EIO or ENOSPC at the n-th call (write, open, rename, mkdir, fsync): one line or done, and the next run is right"
)
CLOCK = "a clock that is set back by up to a year, and a daylight-saving night: everything is reused, splits stay"
TWO_TEN = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
"""02:10 in Berlin, for the second time in this night."""
SIZES = (64, 128, 256, 384, 512, 768, 1024, 1536)
"""KiB of the disk."""


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    for index in range(max(2, round(FULL * share))):
        yield Trial(TMPFS, f"{TMPFS} {index}", partial(read_only if index % 4 == 1 else full, lab))
    for index in range(max(2, round(FAULTY * share))):
        yield Trial(CALLS, f"{CALLS} {index}", partial(faulty, lab, index))
    for index in range(max(2, round(TIME * share))):
        yield Trial(CLOCK, f"{CLOCK} {index}", partial(clock, lab, index % 2 == 1))


def full(lab: Lab, folder: Path, rng: random.Random) -> str | None:
    """The data folder on a small disk."""
    lab.reference_run().texts_to(folder)
    (folder / "data").mkdir()
    size = rng.choice(SIZES) + rng.randrange(64)
    done = lab.launcher.run(folder, "run", mounts=[("tmpfs", str(folder / "data"), f"size={size}k")])
    return None if done.code == 0 else one_line(done, "no space left")


def read_only(lab: Lab, folder: Path, rng: random.Random) -> str | None:
    """A folder that may be read alone: a run says so, and a prediction does not mind."""
    lab.reference(folder)
    mounts = [("read-only", str(folder / "data"), str(folder / "data"))]
    done = lab.launcher.run(folder, "run", mounts=mounts)
    if wrong := one_line(done, "cannot be written"):
        return wrong
    done = lab.launcher.run(folder, "predict", "-", stdin="apple1 river1 stone1 cloud1 the of", mounts=mounts)
    return None if done.code == 0 else f"predict: {done.message}"


def faulty(lab: Lab, index: int, folder: Path, rng: random.Random) -> str | None:
    """One call fails, or all from one on; then the storage is whole again."""
    reference = lab.reference_run()
    reference.texts_to(folder)
    launcher, calls = faulty_launcher(lab)
    error = (errno.EIO, errno.ENOSPC)[index % 2]
    fault = {
        "FAULT_ROOT": str(folder / "data"),
        "FAULT_AT": str(rng.randint(1, calls)),
        "FAULT_ERRNO": str(error),
        "FAULT_STAYS": str(int(error == errno.ENOSPC and rng.random() < 0.7)),
    }
    done = launcher.run(folder, "run", environment=fault)
    if done.code != 0 and (wrong := one_line(done)):
        return f"call {fault['FAULT_AT']} of {calls}, {errno.errorcode[error]}: {wrong}"
    again = lab.launcher.run(folder, "run", "--json")
    if again.code != 0:
        return f"after call {fault['FAULT_AT']}, the next run: code {again.code}: {again.message}"
    wrong = judge_data(folder / "data", reference)
    return f"after call {fault['FAULT_AT']}, {errno.errorcode[error]}: {wrong}" if wrong else None


def faulty_launcher(lab: Lab) -> tuple[Launcher, int]:
    """A launcher whose children can have faulty storage, and how many calls a whole run makes."""

    def make() -> tuple[Launcher, int]:
        library, source = lab.root / "shim.so", Path(__file__).with_name("shim.c")
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise RuntimeError("needs a C compiler")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
        launcher = lab.new_launcher({"PREFECT_API_URL": lab.server, "LD_PRELOAD": str(library)})
        folder, count = lab.root / "counted", lab.root / "count"
        folder.mkdir()
        lab.reference_run().texts_to(folder)
        never = {"FAULT_ROOT": str(folder / "data"), "FAULT_AT": str(10**9), "FAULT_COUNT": str(count)}
        launcher.run(folder, "run", environment=never | {"FAULT_ERRNO": "5"})
        return launcher, int(count.read_text())

    return lab.once("faulty storage", make)


def clock(lab: Lab, night: bool, folder: Path, rng: random.Random) -> str | None:
    """A run, new texts at an earlier time, and once more at yet another time.

    With `night`, the first is at 02:50 of summer time, and the second at 02:10 of winter time, 20 minutes later.
    """
    reference = lab.reference(folder)
    data = folder / "data"
    zone = {"TZ": "Europe/Berlin"}
    back = -rng.choice((3600.0, 86_400.0, 366 * 86_400.0)) * rng.random()
    if night:
        back = TWO_TEN.timestamp() - time.time()
    same = lab.launcher.run(folder, "run", "--json", clock=back - 1200 * night, environment=zone)
    if same.code != 0 or any(stage["status"] == "built" for stage in same.json["stages"]):
        return f"{back:.0f} s back, a run that changes nothing: {same.message or 'builds'}"
    if digests(data) != reference.digests or champion(data) != reference.champion:
        return f"{back:.0f} s back: other content"
    write_corpus(folder / "texts", documents=4, seed=7)
    grown = lab.launcher.run(folder, "run", "--json", clock=back, environment=zone)
    if grown.code != 0:
        return f"{back:.0f} s back, with new texts: {grown.message}"
    pruned = lab.launcher.run(folder, "prune", "--keep", "1", clock=2 * back)
    again = lab.launcher.run(folder, "run", "--json", environment=zone)
    if pruned.code != 0 or again.code != 0:
        return f"{back:.0f} s back: {pruned.message} {again.message}"
    built = [stage["stage"] for stage in again.json["stages"] if stage["status"] == "built"]
    return f"{back:.0f} s back, then as before: builds {built} again" if built else None
