"""A file that has not changed is not read again, and one that has changed always is."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_artifacts import make

from flows.ops.housekeeping import prune_store, verify_store
from tasks.extraction import folder, table
from tasks.shared.files import file_digest
from tasks.shared.store.artifacts import Store
from tasks.shared.store.known_files import SETTLED_NS, KnownFiles

LONG_AGO = 10**18


def settle(*files: Path) -> None:
    """Waits until the files were changed long enough ago to be remembered."""
    newest = max(file.stat().st_ctime_ns for file in files)
    time.sleep(max(0.0, (newest + SETTLED_NS - time.time_ns()) / 1e9) + 0.05)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    settle(path)
    return path


def digest(tmp_path: Path, file: Path) -> tuple[str, int]:
    known = KnownFiles(tmp_path / "record.json")
    found = known.digest(file)
    known.save()
    return found, known.hashed


def test_a_file_is_hashed_once(tmp_path: Path, file: Path) -> None:
    assert digest(tmp_path, file) == (file_digest(file), 1)
    assert digest(tmp_path, file) == (file_digest(file), 0)
    assert KnownFiles().digest(file) == file_digest(file)


def rewrite(file: Path) -> None:
    file.write_bytes(b"after.")


def rewrite_and_put_the_time_back(file: Path) -> None:
    file.write_bytes(b"after.")
    os.utime(file, ns=(LONG_AGO, LONG_AGO))


def exchange(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(b"after.")
    os.utime(other, ns=(LONG_AGO, LONG_AGO))
    other.rename(file)


def append(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b".")


@pytest.mark.parametrize("change", [rewrite, rewrite_and_put_the_time_back, exchange, append])
def test_every_change_is_seen(tmp_path: Path, file: Path, change) -> None:
    before, _ = digest(tmp_path, file)
    change(file)
    after, hashed = digest(tmp_path, file)
    assert (after, hashed) == (file_digest(file), 1)
    assert after != before


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "new"
    path.write_bytes(b"new")
    assert [digest(tmp_path, path)[1] for _ in range(3)] == [1, 1, 1]


@given(
    st.binary(max_size=30) | st.sampled_from([b"[]", b'{"a": 1}', b'{"a": ["b", 1]}', b'{"a": ["b", ["x"]]}', b"null"])
)
def test_a_damaged_record_only_makes_it_hash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    place = tmp_path_factory.mktemp("damaged")
    (place / "record.json").write_bytes(content)
    (place / "file").write_bytes(b"text")
    assert digest(place, place / "file") == (file_digest(place / "file"), 1)


def test_a_source_of_many_files_is_read_once_and_then_only_what_changed(tmp_path: Path) -> None:
    for n in range(300):
        place = tmp_path / "texts" / f"label{n % 3}" / f"{n}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"text {n}")
    settle(place)

    def found() -> tuple[str, int]:
        known = KnownFiles(tmp_path / "record.json")
        content = folder.digest(tmp_path / "texts", known)
        known.save()
        return content, known.hashed

    first = found()
    assert first == (folder.digest(tmp_path / "texts"), 300)
    assert found() == (first[0], 0)
    (tmp_path / "texts" / "label0" / "0.txt").write_text("other text")
    (tmp_path / "texts" / "label1" / "1.txt").unlink()
    (tmp_path / "texts" / "label2" / "new.txt").write_text("new")
    changed, hashed = found()
    assert (changed, hashed) == (folder.digest(tmp_path / "texts"), 2)
    assert changed != first[0]


def test_names_and_contents_of_a_source_do_not_run_into_each_other(tmp_path: Path) -> None:
    digests = set()
    for number, names in enumerate((["ab", "c"], ["a", "bc"], ["a", "b"])):
        place = tmp_path / str(number)
        place.mkdir()
        for name in names:
            (place / f"{name}.parquet").write_bytes(b"")
        digests.add(table.digest(place))
    assert len(digests) == 3


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_an_artifact_is_hashed_again_only_where_it_changed(tmp_path: Path) -> None:
    store = Store(tmp_path, "stat")
    place = store.commit(make(store))
    part = place / "documents" / "part-00000.parquet"
    settle(part)
    assert store.find_damage(place) is None
    hidden = place / "hidden"
    part.rename(hidden)  # the change time is that of the name
    assert store.find_damage(place) is not None
    hidden.rename(part)
    settle(part)
    assert store.find_damage(place) is None
    flip(part)
    assert "content differs" in (store.find_damage(place) or "")
    assert not list(tmp_path.glob(".verified/*/*.json"))


def test_verify_hashes_what_a_run_would_not_and_the_run_after_it_does(tmp_path: Path) -> None:
    store = Store(tmp_path, "stat")
    place = store.commit(make(store))
    part = place / "documents" / "part-00000.parquet"
    settle(part)
    assert store.find_damage(place) is None
    (record,) = tmp_path.glob(".verified/02_cleaned/*.json")
    known = record.read_text()
    flip(part)
    settle(part)
    status = part.stat()
    forged = known.replace(
        known[known.rindex("[") : known.index("]")],
        str([status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino])[:-1],
    )
    record.write_text(forged)  # what a disk that returns other bytes looks like
    assert store.find_damage(place) is None
    (found,) = verify_store(Store(tmp_path))
    assert "content differs" in found["damage"]
    assert "content differs" in (store.find_damage(place) or "")


def test_hash_reads_everything_and_keeps_no_record(tmp_path: Path) -> None:
    store = Store(tmp_path, "hash")
    place = store.commit(make(store))
    settle(place / "documents" / "part-00000.parquet")
    assert store.find_damage(place) is None
    assert not (tmp_path / ".verified").exists()


def test_what_is_pruned_leaves_no_record(tmp_path: Path) -> None:
    store = Store(tmp_path, "stat")
    place = store.commit(make(store))
    shutil.copytree(place, place.with_name("f" * 20))
    settle(*place.parent.rglob("*.parquet"))
    assert [store.find_damage(path) for path in store.all("02_cleaned")] == [None, None]
    assert len(list(tmp_path.glob(".verified/02_cleaned/*.json"))) == 2
    prune_store(store, keep=1)
    (record,) = tmp_path.glob(".verified/02_cleaned/*.json")
    assert [path.name for path in store.all("02_cleaned")] == [record.stem]
