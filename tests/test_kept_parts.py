"""Parts that outlive their run: what is made again for one text, and what happens to damaged, old and shared ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
import runner_calls
from part_artifacts import Rows, cut_finely, make_all, write_extracted

from tasks.shared.boundaries import LONGEST, SHORTEST, Boundaries, level_of
from tasks.shared.parquet import PartWriter, SortedWriter, part_files
from tasks.shared.parts import kept as kept_module
from tasks.shared.parts.kept import KeptParts, in_words, unused
from tasks.shared.parts.make import Made, Work, collect, make_parts
from tasks.shared.parts.part import Part, parts_of
from tasks.shared.runner.calls import IN_PROCESS
from tasks.shared.runner.pool import open_executor

SCHEMA = pa.schema([("doc_id", pa.string()), ("text", pa.string())])
COLUMNS = ("doc_id", "text")
DOCUMENTS = 400
FRESH = " ".join(f"unseen{number}" for number in range(40))


def add_later(rows: Rows) -> Rows:
    return rows | {"9999": FRESH}


def add_between(rows: Rows) -> Rows:
    return rows | {"0123a": FRESH}


def edit(rows: Rows) -> Rows:
    return rows | {"0124": FRESH}


def remove(rows: Rows) -> Rows:
    return {doc_id: text for doc_id, text in rows.items() if doc_id != "0203"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a first run leaves, and the parts that it keeps."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        cut_finely(patch)
        extracted = write_extracted(folder / "extracted", DOCUMENTS)
        made = make_all(extracted, folder / "out", IN_PROCESS, folder / "kept")
        assert made["cleaned"] == len(parts_of(extracted / "documents")) >= 25
    return folder


@pytest.mark.parametrize("change", [add_later, add_between, edit, remove])
def test_one_text_has_the_part_made_again_that_holds_it(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Rows], Rows]
) -> None:
    cut_finely(monkeypatch)
    shutil.copytree(first / "kept", tmp_path / "kept")
    extracted = write_extracted(tmp_path / "extracted", DOCUMENTS, change)
    made = make_all(extracted, tmp_path / "out", IN_PROCESS, tmp_path / "kept", first / "out")
    assert made["cleaned"] == 1
    assert made["vocabulary"] <= 1  # 0 if the text is in another split
    assert make_all(extracted, tmp_path / "again", IN_PROCESS, tmp_path / "kept", first / "out")["tokens"] == 0

    anew = make_all(extracted, tmp_path / "anew", IN_PROCESS, tmp_path / "none", first / "out")
    counts = {"cleaned", "vocabulary", "tokens"}
    assert {name: value for name, value in made.items() if name not in counts} == {
        name: value for name, value in anew.items() if name not in counts
    }


def test_a_run_without_a_change_makes_no_part_on_any_executor(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_finely(monkeypatch)
    shutil.copytree(first / "kept", tmp_path / "kept")
    extracted = write_extracted(tmp_path / "extracted", DOCUMENTS)
    with open_executor("processes", 2) as executor:
        made = make_all(extracted, tmp_path / "out", executor, tmp_path / "kept", first / "out")
        assert [made[name] for name in ("cleaned", "vocabulary", "tokens")] == [0, 0, 0]
        changed = write_extracted(tmp_path / "changed", DOCUMENTS, edit)
        assert make_all(changed, tmp_path / "out2", executor, tmp_path / "kept", first / "out")["cleaned"] == 1


def measured(tmp_path: Path, kept: KeptParts, place: str = "place", depends_on: dict[str, str] | None = None) -> int:
    """How many of twelve parts of a document were made."""
    return go_through(tmp_path, kept, place, depends_on)[0]


def go_through(
    tmp_path: Path, kept: KeptParts, place: str = "place", depends_on: dict[str, str] | None = None
) -> tuple[int, Made]:
    if not (tmp_path / "documents").exists():
        with PartWriter(tmp_path / "documents", SCHEMA, row_group_bytes=1) as writer:
            for number in range(12):
                writer.write([{"doc_id": f"{number:02d}", "text": "some words"}])
    parts, log = parts_of(tmp_path / "documents"), tmp_path / f"calls-{place}"
    work = Work(runner_calls.measure_part, (str(log), ""), COLUMNS, depends_on)
    made = make_parts("cleaning", work, parts, tmp_path / place, IN_PROCESS, kept)
    assert all((made.folder(part) / "rows.txt").read_text() == "1 rows" for part in parts)
    return len(log.read_text().split()) if log.exists() else 0, made


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_finely(monkeypatch, 1)


@pytest.mark.usefixtures("fine")
@pytest.mark.parametrize("name", ["rows.txt", "done.json"])
def test_a_damaged_part_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    assert measured(tmp_path, KeptParts(tmp_path / "kept")) == 12
    shared = sorted((tmp_path / "kept").glob(f"*/*/{name}"))[3]
    content = bytearray(shared.read_bytes())
    content[12 if name == "done.json" else 0] ^= 1
    shared.write_bytes(content)  # as if somebody edited the artifact
    kept = KeptParts(tmp_path / "kept")
    assert measured(tmp_path, kept, "second") == 1
    assert in_words(kept.summary()) == "1 of 12 parts made, 11 kept"
    assert "is damaged; it is made again" in caplog.text
    assert measured(tmp_path, KeptParts(tmp_path / "kept"), "third") == 0


@pytest.mark.usefixtures("fine")
def test_what_changed_is_named_if_all_parts_depend_on_it(tmp_path: Path) -> None:
    measured(tmp_path, KeptParts(tmp_path / "kept", {"code": "1"}), "1", {"vocabulary": "a", "labels": "x"})
    for place, vocabulary, words in (("2", "b", "; all depend on what changed: vocabulary"), ("3", "a", "")):
        kept = KeptParts(tmp_path / "kept", {"code": "1"})
        measured(tmp_path, kept, place, {"vocabulary": vocabulary, "labels": "x"})
        made = 12 if words else 0
        assert in_words(kept.summary()) == f"{made} of 12 parts made, {12 - made} kept{words}"
    assert in_words({}) == ""


@pytest.mark.usefixtures("fine")
def test_runs_at_once_share_the_kept_parts(tmp_path: Path) -> None:
    measured(tmp_path, KeptParts(tmp_path / "other"), "first")
    with ThreadPoolExecutor(4) as threads:
        places = [f"run-{number}" for number in range(4)]
        made = list(threads.map(lambda place: measured(tmp_path, KeptParts(tmp_path / "kept"), place), places))
    assert 12 <= sum(made) <= 48
    assert measured(tmp_path, KeptParts(tmp_path / "kept"), "last") == 0
    assert not list((tmp_path / "kept").rglob(".*"))


@pytest.mark.usefixtures("fine")
def test_files_are_copied_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    number, made = go_through(tmp_path, KeptParts(tmp_path / "kept"))
    assert number == 12
    monkeypatch.setattr(kept_module.os, "link", refuse)
    collect(made, parts_of(tmp_path / "documents"), "rows.txt", tmp_path / "out")
    copies = list((tmp_path / "out").iterdir())
    assert [copy.read_text() for copy in copies] == ["1 rows"] * 12
    assert {copy.stat().st_nlink for copy in copies} == {1}


@pytest.mark.usefixtures("fine")
def test_parts_that_no_build_has_used_since_a_time_are_found(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for place, vocabulary in (("1", "a"), ("2", "b")):
        measured(tmp_path, KeptParts(kept), place, {"vocabulary": vocabulary})
    for path in [*kept.glob("*/"), *kept.glob("*/*/")]:
        os.utime(path, (1000, 1000))
    assert list(unused(kept, 999)) == []
    measured(tmp_path, KeptParts(kept), "3", {"vocabulary": "a"})
    (old,) = unused(kept, 2000)
    assert old.parent == kept
    assert not list(unused(tmp_path / "absent", 2000))


def rows_of(random: Random, number: int) -> list[dict[str, str]]:
    return [{"doc_id": f"{n:06d}", "text": "x" * random.randrange(200)} for n in range(number)]


def test_pieces_have_bounds_and_their_mean(tmp_path: Path) -> None:
    rows = rows_of(Random(0), 20_000)
    starts = list(Boundaries(2**12).before((row["doc_id"], len(row["text"])) for row in rows))
    sizes = [
        sum(len(row["text"]) for row in rows[a:b]) for a, b in zip([0, *starts], [*starts, len(rows)], strict=True)
    ]
    assert all(2**12 * SHORTEST <= size <= 2**12 * LONGEST for size in sizes[:-1])
    assert 2**12 < sum(sizes) / len(sizes) < 1.5 * 2**12
    levels = [level_of(row["doc_id"]) for row in rows]
    assert [round(sum(level >= least for level in levels) / len(rows), 1) for least in (0, 1, 3)] == [1.0, 0.5, 0.1]


@pytest.mark.parametrize("batch_rows", [1, 100, 5000])
def test_the_same_rows_are_the_same_parts_however_they_arrive_and_wherever_they_lie(
    tmp_path: Path, batch_rows: int
) -> None:
    rows = rows_of(Random(1), 5000)
    digests = []
    for name, chosen, step in (("whole", rows, 5000), ("cut", rows, batch_rows), ("later", rows[700:], batch_rows)):
        with SortedWriter(tmp_path / name, SCHEMA, part_bytes=2**16, row_group_bytes=2**12) as writer:
            for start in range(0, len(chosen), step):
                writer.write(chosen[start : start + step])
        parts = parts_of_row_groups(tmp_path / name)
        digests.append([part.digest(COLUMNS) for part in parts])
    assert len(part_files(tmp_path / "whole")) > 3
    assert digests[1] == digests[0]
    assert set(digests[2][3:]) <= set(digests[0])
    assert len(set(digests[0])) == len(digests[0])
    assert parts[0].digest(["doc_id"]) != parts[0].digest(COLUMNS)
    assert parts[-1].last_id() == "004999"


def parts_of_row_groups(folder: Path) -> list[Part]:
    with pytest.MonkeyPatch.context() as patch:
        cut_finely(patch, 2**12)
        return parts_of(folder)
