"""Every file that a run keeps is damaged in turn; it is found, named, and made again."""

from __future__ import annotations

import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.torture.lab import Lab, Reference, Trial
from benchmarks.torture.state import champion, digests, one_line
from benchmarks.torture.texts import configure, write_corpus
from tasks.shared.store.artifacts import find_damage

FOUND, REBUILT, STATE = 200, 10, 20
FILE, RUN, POINTER = (
    "a file of an artifact is cut, flipped, emptied, deleted or swapped: found and named",
    "a file of every artifact is damaged: all built again, with the same content",
    "the champion's record, a run's record, a check's result, a checkpoint is damaged: never a wrong answer",
)
Damage = Callable[[Path, random.Random], None]


def artifact_of(file: Path) -> Path:
    """The folder of the artifact that a file belongs to."""
    return next(folder for folder in file.parents if re.fullmatch(r"\d\d_\w+", folder.parent.name))


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def empty(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def delete(path: Path, _: random.Random) -> None:
    path.unlink()


def swap(others: Path, path: Path, _: random.Random) -> None:
    """Replaces a file by that of the same name in another run's artifact of the stage, or appends to it."""
    folder = artifact_of(path)
    other = others / "data" / folder.parent.name / "latest" / path.relative_to(folder)
    if other.exists() and other.read_bytes() != path.read_bytes():
        shutil.copy(other, path)
    else:
        path.write_bytes(path.read_bytes() + b" ")


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    """Damages to artifacts, judged by the store alone and by runs, and to what lies beside artifacts."""
    ways: dict[str, Damage] = {"cut": cut, "flipped": flip, "emptied": empty, "deleted": delete}
    for index in range(max(1, round(FOUND * share))):
        yield Trial(FILE, f"{FILE} {index}", partial(find, lab, index, ways))
    for index in range(max(1, round(REBUILT * share))):
        yield Trial(RUN, f"{RUN} {index}", partial(rebuild, lab, index, ways))
    for index in range(max(4, round(STATE * share))):
        kind = STATES[index % len(STATES)]
        yield Trial(POINTER, f"{kind.__name__} {index}", partial(kind, lab, index // len(STATES), ways))


def find(lab: Lab, index: int, ways: dict[str, Damage], folder: Path, rng: random.Random) -> str | None:
    """The store's own verification of one damaged artifact."""
    other = other_run(lab)
    reference = lab.reference_run()
    ways = {**ways, "swapped": partial(swap, other.folder)}
    files = sorted(p for link in reference.folder.glob("data/[0-9]*/latest") for p in link.resolve().rglob("*"))
    files = [path for path in files if path.is_file()]
    original = files[(index * 7) % len(files)]
    artifact = artifact_of(original)
    way, damage = list(ways.items())[index % len(ways)]
    copied = folder / artifact.parent.name / artifact.name
    shutil.copytree(artifact, copied)
    damage(copied / original.relative_to(artifact), rng)
    found = find_damage(copied)
    if found is None:
        return f"{way} {original.relative_to(artifact)}: not found"
    return None if original.name in found or "artifact.json" in str(original) else f"names another file: {found}"


def rebuild(lab: Lab, index: int, ways: dict[str, Damage], folder: Path, rng: random.Random) -> str | None:
    """A run over artifacts that are all damaged."""
    other, reference = other_run(lab), lab.reference(folder)
    ways = {**ways, "swapped": partial(swap, other.folder)}
    way, damage = list(ways.items())[index % len(ways)]
    shutil.rmtree(folder / "data/champion")  # the decision is made once more
    for link in (folder / "data").glob("[0-9]*/latest"):
        files = sorted(path for path in link.resolve().rglob("*") if path.is_file() and path.name != "artifact.json")
        damage(rng.choice(files), rng)
    done = lab.launcher.run(folder, "run", "--json")
    if done.code != 0:
        return f"{way}: code {done.code}: {done.message}"
    built = {stage["stage"] for stage in done.json["stages"] if stage["status"] == "built"}
    if built != reference.digests.keys():
        return f"{way}: not built again: {sorted(reference.digests.keys() - built)}"
    named = [stage for stage in built if f"{stage}: damaged, built again" not in done.err]
    if named or len(list((folder / "data/quarantine").iterdir())) != len(built):
        return f"{way}: not named or not in quarantine: {named}"
    return None if digests(folder / "data") == reference.digests else f"{way}: built with other content"


def damaged_champion(lab: Lab, index: int, ways: dict[str, Damage], folder: Path, rng: random.Random) -> str | None:
    """A prediction names the champion's file or its model, or comes from the right champion."""
    reference = lab.reference(folder)
    list(ways.values())[index % len(ways)](folder / "data/champion/000001.json", rng)
    done = lab.launcher.run(folder, "predict", "--json", "-", stdin="apple1 river1 stone1 cloud1 tiger1 apple1 the of")
    if done.code != 0:
        return one_line(done)
    right = Path(done.json["model"]).resolve() == (reference.folder / "data/07_models/latest").resolve()
    same = Path(done.json["model"]).name == (reference.folder / "data/07_models/latest").resolve().name
    return None if right or same else f"predicts with {done.json['model']}"


def damaged_record(lab: Lab, index: int, ways: dict[str, Damage], folder: Path, rng: random.Random) -> str | None:
    """Listing the runs says nothing of the record, or what is left of it; it ends in no traceback."""
    lab.reference(folder)
    list(ways.values())[index % len(ways)](next((folder / "data/runs").glob("*.json")), rng)
    for command in ("runs", "why"):
        done = lab.launcher.run(folder, command)
        if done.code != 0 and (wrong := one_line(done)):
            return f"{command}: {wrong}"
    return None


def damaged_check(lab: Lab, index: int, ways: dict[str, Damage], folder: Path, rng: random.Random) -> str | None:
    """A run checks again, and reuses the artifacts; also where the record of hashed files is damaged."""
    reference = lab.reference(folder)
    for path in [*(folder / "data/checks").glob("*/*.json"), *(folder / "data/.verified").glob("*/*.json")]:
        list(ways.values())[index % len(ways)](path, rng)
    done = lab.launcher.run(folder, "run", "--json")
    if done.code != 0:
        return f"code {done.code}: {done.message}"
    return None if digests(folder / "data") == reference.digests else "other content"


def damaged_checkpoint(lab: Lab, index: int, ways: dict[str, Damage], folder: Path, rng: random.Random) -> str | None:
    """Training goes on from an earlier checkpoint or begins again; the weights are the same."""
    reference = lab.reference(folder)
    shutil.rmtree(folder / "data/06_rnn")
    shutil.rmtree(folder / "data/champion")
    operations = [line for line in lab.operations if "/06_rnn/.scratch" in line]
    at = ("/06_rnn/.scratch", len(operations) - rng.randrange(3), int(signal.SIGKILL), False)
    lab.launcher.run(folder, "run", signal_at=at)
    for path in sorted((folder / "data").glob("06_rnn/.scratch-*/**/*")):
        if path.is_file() and path.stat().st_size:
            list(ways.values())[index % len(ways)](path, rng)
    done = lab.launcher.run(folder, "run", "--json")
    if done.code != 0:
        return f"code {done.code}: {done.message}"
    same = digests(folder / "data") == reference.digests and champion(folder / "data") == reference.champion
    return None if same else "other content"


STATES = (damaged_champion, damaged_record, damaged_check, damaged_checkpoint)


def other_run(lab: Lab) -> Reference:
    """A run on other texts, for files to swap."""

    def prepare(folder: Path) -> None:
        write_corpus(folder / "texts", seed=1)
        configure(folder)

    return lab.made("other", prepare)
