"""Processes that do the same at the same moment, without locks: one succeeds, and nothing is lost or mixed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.shared.files import create_text, is_abandoned, process_name, remove_abandoned
from tasks.shared.store.artifacts import Store, find_damage
from tasks.shared.store.champion import read_champion
from tasks.shared.store.fingerprint import PROJECT

PROCESSES = 4
MOVES = 30

RIVALS = """
import sys, time
from pathlib import Path
from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.store.champion import read_champion, replace_champion_if
from tasks.shared.store.fingerprint import Recipe

store, me, moves = Store(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
recipe = Recipe(stage="stacking", settings={}, inputs={}, sources={}, code={}, libraries={})
values = {"rows": 1, "bytes": 1, "seconds": 0, "created": "", "summary": {}, "lineage": {}, "files": {}}
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(moves):
    champion = read_champion(store)
    present = champion.current.model if champion else None
    name = f"{me}-{number}"
    model = Artifact(stage="stacking", folder="07_models", fingerprint=name, digest=name, recipe=recipe, **values)
    if replace_champion_if(store, present, model, f"after {present}", me):
        won.append(name)
print(*won)
"""

BUILDERS = """
import sys, time
from pathlib import Path
import pyarrow as pa
from tasks.shared.engine.build import Build, build_artifact
from tasks.shared.engine.stage import stage
from tasks.shared.parquet import PartWriter
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Store
from tasks.shared.store.fingerprint import Recipe

@stage("cleaning", "02_cleaned", libraries=())
def clean(settings, out, scratch):
    notes = scratch / "notes"
    notes.write_text("")
    with PartWriter(out / "documents", pa.schema([("doc_id", pa.string())])) as writer:
        for number in range(40 + 10 * int(sys.argv[2][1:])):  # so that one ends while others are at it
            with notes.open("a") as opened:
                opened.write(f"{number} ")
            time.sleep(0.005)
        for number in notes.read_text().split()[:40]:
            writer.write([{"doc_id": number}])
    return {"rows": writer.rows}

store = Store(Path(sys.argv[1]))
recipe = Recipe(stage="cleaning", settings={}, inputs={}, sources={}, code={}, libraries={})
print("ready", flush=True)
sys.stdin.readline()
artifact = build_artifact(Build(clean, store, Section(), Section(), recipe, {}))
store.commit(artifact)
store.point_latest(artifact)
print(artifact.digest)
"""


def together(code: str, *arguments: object) -> list[str]:
    """What several processes print that run the code with these arguments and their number, from one signal on."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, (arguments[0], f"p{number}", *arguments[1:]))],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        outputs.append(process.communicate(timeout=120)[0])
        assert process.returncode == 0
    return outputs


def test_each_move_of_the_champion_is_made_by_one_process_that_knew_the_one_before(tmp_path: Path) -> None:
    won = [set(output.split()) for output in together(RIVALS, tmp_path, MOVES)]
    champion = read_champion(Store(tmp_path))
    assert champion is not None
    models = [move.model for move in champion.history]
    assert len(models) == champion.number == len(set(models))
    assert set(models) == set().union(*won)  # whoever was told that it won is in the history, and no other
    assert sum(map(len, won)) == len(models)
    assert [move.reason for move in champion.history] == [f"after {before}" for before in [None, *models[:-1]]]
    assert all(path.name == f"{n:06d}.json" for n, path in enumerate(sorted((tmp_path / "champion").iterdir()), 1))


def test_processes_that_make_the_same_artifact_leave_one(tmp_path: Path) -> None:
    digests = {output.strip() for output in together(BUILDERS, tmp_path)}
    store = Store(tmp_path)
    (place,) = store.all("02_cleaned")
    assert {json.loads((place / "artifact.json").read_text())["digest"]} == digests
    assert find_damage(place) is None
    assert sorted(path.name for path in (tmp_path / "02_cleaned").iterdir()) == sorted([place.name, "latest"])


def test_a_file_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    assert create_text(path, "first")
    assert not create_text(path, "second")
    assert path.read_text() == "first"
    assert [file.name for file in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("change", "abandoned"),
    [
        (lambda machine, pid, token: (machine, pid, token), False),  # this process
        (lambda machine, pid, token: ("0" * 8, pid, "1"), False),  # another machine's, which may be alive
        (lambda machine, pid, token: (machine, str(os.getppid()), "1"), False),  # a process that lives
        (lambda machine, pid, token: (machine, pid, "1"), True),  # a former process that had this one's number
        (lambda machine, pid, token: (machine, "99999999", "1"), True),  # one that has ended
    ],
)
def test_only_what_ended_processes_of_this_machine_left_is_abandoned(change, abandoned: bool) -> None:
    name = "-".join(change(*process_name().split("-")))
    assert is_abandoned(f".staged-{'f' * 20}-{name}") is abandoned


def test_the_staging_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    machine, _, token = process_name().split("-")
    folders = [
        tmp_path / "01_documents" / f".staged-{'f' * 20}-{machine}-{pid}-{token}" for pid in (99999999, os.getpid())
    ]
    for folder in folders:
        (folder / "documents").mkdir(parents=True)
        (folder / "documents/part-00000.parquet").write_bytes(b"half")
    remove_abandoned(tmp_path)
    assert [folder.exists() for folder in folders] == [False, True]


def test_the_scratch_folder_of_a_killed_process_stays_for_the_build_that_resumes_it(tmp_path: Path) -> None:
    machine, _, token = process_name().split("-")
    folder = tmp_path / "06_rnn" / f".scratch-{'f' * 20}-{machine}-99999999-{token}"
    folder.mkdir(parents=True)
    remove_abandoned(tmp_path, ".scratch-")
    assert folder.exists()


def test_the_new_link_of_a_process_that_was_killed_before_it_was_renamed_is_removed(tmp_path: Path) -> None:
    machine, _, token = process_name().split("-")
    stage = tmp_path / "02_cleaned"
    (stage / "artifact").mkdir(parents=True)
    (stage / "artifact/part.parquet").write_bytes(b"whole")
    link = stage / f".latest-{machine}-99999999-{token}"
    link.symlink_to("artifact")
    remove_abandoned(tmp_path)
    assert not link.is_symlink()
    assert (stage / "artifact/part.parquet").exists()
