"""Several runs at once over one data folder, with other commands in between."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.torture.crashes import judge_data
from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.launcher import Done
from benchmarks.torture.state import champion, one_line, temporary_files
from flows.ops.housekeeping import verify_store
from tasks.shared.store.artifacts import Store

TRIALS = 4
SAME = "two to eight runs at once, with prune, predict and verify in between: each artifact is made once"
DIFFERENT = "the same with other settings for each: every run ends well, the champion is one of their models"
DEAD = "a run that is killed while others wait for its artifact: they go on at once"
APART = "two runs on machines that see none of each other's locks: the same artifacts, whole, and one champion"
BETWEEN = (("prune", "--keep", "1"), ("predict", "-"), ("verify",), ("runs",), ("why",), ("champion",))
SECONDS = 300


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    for what, check in ((SAME, same_settings), (DIFFERENT, other_settings), (DEAD, dead_lock), (APART, apart)):
        for index in range(max(1, round(TRIALS * share))):
            yield Trial(what, f"{what} {index}", partial(check, lab, 2 + (index * 5) % 7))


def same_settings(lab: Lab, count: int, folder: Path, rng: random.Random) -> str | None:
    """Equal runs share every artifact."""
    reference = lab.reference_run()
    reference.texts_to(folder)
    runs, between = all_at_once(lab, folder, rng, [[] for _ in range(count)])
    if wrong := judge_ends(runs, between):
        return wrong
    built = Counter(s["stage"] for done in runs for s in done.json["stages"] if s["status"] == "built")
    twice = [stage for stage, times in built.items() if times != 1]
    return f"built more than once: {twice}" if twice else judge_data(folder / "data", reference)


def other_settings(lab: Lab, count: int, folder: Path, rng: random.Random) -> str | None:
    """Runs that share the first stages alone."""
    lab.reference_run().texts_to(folder)
    changes = ("training.seed={}", "vocabulary.size={}00", "splitting.seed={}", "evaluation.seed={}")
    changed = [["--set", changes[n % len(changes)].format(n + 4)] for n in range(count)]
    runs, between = all_at_once(lab, folder, rng, changed)
    if wrong := judge_ends(runs, between):
        return wrong
    data = folder / "data"
    damaged = [entry["damage"] for entry in verify_store(Store(data)) if entry["damage"]]
    if damaged or temporary_files(data):
        return str(damaged or temporary_files(data))
    models = {json.loads((p / "artifact.json").read_text())["digest"] for p in Store(data).all("07_models")}
    return None if champion(data) in models else "the champion is no model of these runs"


def dead_lock(lab: Lab, count: int, folder: Path, rng: random.Random) -> str | None:
    """The first run dies within a stage; the others, which wait for it, do not wait for a dead process."""
    reference = lab.reference_run()
    reference.texts_to(folder)
    place = rng.choice(("/02_cleaned", "/05_tokens", "/06_rnn", "/07_models", "/08_reports"))
    operations = sum(place in line for line in lab.operations)
    at = (place, rng.randint(1, operations), int(signal.SIGKILL), False)
    first = lab.launcher.start(folder, "run", signal_at=at)
    others = [lab.launcher.start(folder, "run", "--json") for _ in range(min(count, 3) - 1)]
    first.wait()
    ended = [other.wait(SECONDS) for other in others]
    return judge_ends(ended, []) or judge_data(folder / "data", reference)


def apart(lab: Lab, count: int, folder: Path, rng: random.Random) -> str | None:
    """Two machines with one data folder, whose processes have the same numbers; in half of the trials also their names.

    Each run has locks of its own: a tmpfs over the folder of the locks.
    """
    reference = lab.reference_run()
    reference.texts_to(folder)
    locks = folder / "data/.locks"
    locks.mkdir(parents=True)
    runs = []
    for number in range(2):
        host = "machine" if count % 2 else f"machine{number}"
        mounts = [("tmpfs", str(locks), "size=1m")]
        runs.append(lab.launcher.start(folder, "run", "--json", mounts=mounts, host=host))
        time.sleep(rng.random() * rng.choice((0, 1)))
    ended = [run.wait(SECONDS) for run in runs]
    if wrong := judge_ends(ended, []) or judge_data(folder / "data", reference):
        return wrong
    moves = len(list((folder / "data/champion").iterdir()))
    return None if moves == 1 else f"the champion moved {moves} times"


def all_at_once(lab: Lab, folder: Path, rng: random.Random, changes: list[list[str]]) -> tuple[list[Done], list[Done]]:
    """The ends of the runs, and those of the commands between them."""
    runs = []
    for changed in changes:
        runs.append(lab.launcher.start(folder, "run", "--json", *changed))
        time.sleep(rng.random())
    text = "apple1 river1 stone1 cloud1 tiger1 apple1"
    between: list[Done] = []
    while not all((command.files / "code").exists() for command in runs) and len(between) < 20:
        between.append(lab.launcher.run(folder, *rng.choice(BETWEEN), stdin=text))
        time.sleep(rng.random())
    return [command.wait(SECONDS) for command in runs], between


def judge_ends(runs: list[Done], between: list[Done]) -> str | None:
    """Every run ends well, and a command in between does or says in one line why it cannot."""
    for done in runs:
        if done.code != 0:
            return f"a run ends with code {done.code}: {done.message}"
    for done in between:
        if done.code != 0 and (wrong := one_line(done)):
            return f"a command in between: {wrong}"
    return None
