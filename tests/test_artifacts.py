"""Artifacts are there whole or not at all, and damage does not go unseen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.shared.errors import ArtifactError
from tasks.shared.files import remove_abandoned, replacing
from tasks.shared.parquet import PartWriter, part_files, read_batches, read_table
from tasks.shared.store.artifacts import Artifact, Store, content_digest, describe, find_damage, read_manifest
from tasks.shared.store.fingerprint import Recipe

SCHEMA = pa.schema([("doc_id", pa.string()), ("text", pa.string())])
RECIPE = Recipe(stage="cleaning", settings={}, inputs={}, sources={}, code={}, libraries={})


def make(store: Store, rows: int = 3) -> Artifact:
    out = store.staging("02_cleaned", RECIPE.fingerprint)
    with PartWriter(out / "documents", SCHEMA) as writer:
        writer.write([{"doc_id": f"d{n}", "text": "x" * n} for n in range(rows)])
    files = describe(out)
    artifact = Artifact(
        stage="cleaning",
        folder="02_cleaned",
        fingerprint=RECIPE.fingerprint,
        digest=content_digest(files, ()),
        rows=rows,
        bytes=1,
        seconds=0,
        created="2026-01-01",
        summary={},
        recipe=RECIPE,
        lineage={},
        files=files,
    )
    store.seal(out, artifact)
    return artifact


def test_nothing_is_seen_before_the_commit(tmp_path: Path):
    store = Store(tmp_path)
    artifact = make(store)
    assert list(store.all("02_cleaned")) == []
    assert store.latest("02_cleaned") is None
    place = store.commit(artifact)
    store.point_latest(artifact)
    assert list(store.all("02_cleaned")) == [place]
    assert store.latest("02_cleaned") == artifact
    assert find_damage(place) is None
    assert [p.name for p in (tmp_path / "02_cleaned").iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("how", ["edited", "truncated", "removed", "stray", "manifest"])
def test_damage_is_seen(tmp_path: Path, how: str):
    place = Store(tmp_path).commit(make(Store(tmp_path)))
    part = place / "documents" / "part-00000.parquet"
    if how == "edited":
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    elif how == "truncated":
        part.write_bytes(part.read_bytes()[:-10])
    elif how == "removed":
        part.unlink()
    elif how == "stray":
        (place / "documents" / "part-00001.parquet").write_bytes(b"")
    else:
        (place / "artifact.json").write_text("{}")
    found = find_damage(place)
    assert found is not None
    assert str(place) in found


def test_a_link_inside_an_artifact_is_refused(tmp_path: Path):
    store = Store(tmp_path)
    place = store.commit(make(store))
    (tmp_path / "secret").write_text("secret")
    (place / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactError, match="no links"):
        describe(place)


def test_volatile_files_are_no_part_of_the_content(tmp_path: Path):
    (tmp_path / "weights").write_text("same")
    (tmp_path / "history").write_text("1 s")
    before = content_digest(describe(tmp_path), ("history",))
    (tmp_path / "history").write_text("2 s")
    assert content_digest(describe(tmp_path), ("history",)) == before
    assert content_digest(describe(tmp_path), ()) != before


def test_quarantine_keeps_everything_and_says_why(tmp_path: Path):
    store = Store(tmp_path)
    for _ in range(2):
        where = store.quarantine(store.commit(make(store)), {"why": "<reason>"})
        assert (where / "documents" / "part-00000.parquet").exists()
        assert "<reason>" in (where / "quarantine.json").read_text()
    assert len(list((tmp_path / "quarantine").iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"stage": 1}', r"artifact\.json: not a manifest \(stage: Input should be a valid string\)$"),
        ("{", r"artifact\.json: not a manifest \(Invalid JSON: EOF while parsing an object at line 1 column 1\)$"),
        (None, r"artifact\.json: cannot be read \(No such file or directory\)$"),
    ],
)
def test_a_manifest_that_is_none_is_named(tmp_path: Path, text: str | None, message: str):
    store = Store(tmp_path)
    place = store.commit(make(store))
    (place / "artifact.json").unlink()
    if text is not None:
        (place / "artifact.json").write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_manifest(place)


def test_a_manifest_that_was_altered_is_damaged(tmp_path: Path):
    store = Store(tmp_path)
    place = store.commit(make(store))
    manifest = place / "artifact.json"
    manifest.write_text(manifest.read_text().replace('"rows": 3', '"rows": 4', 1))
    assert find_damage(place) == f"{manifest}: content differs from what was written"


def test_the_newest_artifact_is_none_without_its_folder_and_an_error_without_its_manifest(tmp_path: Path):
    store = Store(tmp_path)
    artifact = make(store)
    assert store.latest(artifact.folder) is None
    place = store.commit(artifact)
    store.point_latest(artifact)
    assert store.latest(artifact.folder) == artifact
    (place / "artifact.json").unlink()
    with pytest.raises(
        ArtifactError, match=f"^{place}/artifact.json: cannot be read .*; delete its folder and run again"
    ):
        store.latest(artifact.folder)
    shutil.rmtree(place)
    assert store.latest(artifact.folder) is None


@given(sizes=st.lists(st.integers(0, 400), max_size=40), part_bytes=st.integers(1, 2000))
def test_parts_hold_every_row_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], part_bytes: int):
    folder = tmp_path_factory.mktemp("parts")
    rows = [{"doc_id": str(n), "text": "é" * size} for n, size in enumerate(sizes)]
    with PartWriter(folder, SCHEMA, part_bytes) as writer:
        for row in rows:
            writer.write([row])
    assert writer.rows == len(rows)
    assert read_table(folder).to_pylist() == rows
    assert read_table(folder, ["doc_id"]).column_names == ["doc_id"]
    assert [row for batch in read_batches(folder, rows=7) for row in batch.to_pylist()] == rows


def test_large_datasets_are_cut_into_parts(tmp_path: Path):
    with PartWriter(tmp_path, SCHEMA, part_bytes=8 * 2**20) as writer:
        for n in range(25):
            writer.write([{"doc_id": str(n), "text": "x" * 2**20}])
    assert len(part_files(tmp_path)) == 4
    assert read_table(tmp_path, ["doc_id"])["doc_id"].to_pylist() == [str(n) for n in range(25)]


def test_a_damaged_part_is_named(tmp_path: Path):
    with PartWriter(tmp_path, SCHEMA) as writer:
        writer.write([{"doc_id": "a", "text": "b"}])
    part = part_files(tmp_path)[0]
    part.write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"part-00000\.parquet: not readable as Parquet"):
        read_table(tmp_path)


KILLED = """
import os, sys
from pathlib import Path
from tasks.shared.files import replacing
with replacing(Path(sys.argv[1])) as fresh:
    fresh.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_was_writing_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path):
    target = tmp_path / "checks" / "training" / "report.json"
    target.parent.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", KILLED, target], check=False)
    (abandoned,) = target.parent.iterdir()
    with replacing(tmp_path / "latest") as fresh:
        fresh.write_text("whole")
        remove_abandoned(tmp_path)
        assert fresh.exists()
        assert str(os.getpid()) in fresh.name
    assert not abandoned.exists()
    assert (tmp_path / "latest").read_text() == "whole"
