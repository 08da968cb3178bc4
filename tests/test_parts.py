"""Stages that work part by part: the same bytes wherever the parts are made, and what is finished is kept."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import runner_calls
from hypothesis import given
from hypothesis import strategies as st
from part_artifacts import cut_finely, make_all, write_extracted

from tasks.shared.checks import batch
from tasks.shared.errors import ArtifactError, RunError
from tasks.shared.parquet import ONE_FILE, UNBOUNDED, PartWriter
from tasks.shared.parts import part as parts_module
from tasks.shared.parts.kept import KeptParts
from tasks.shared.parts.make import Work, collect, make_parts
from tasks.shared.parts.part import parts_of
from tasks.shared.runner.calls import IN_PROCESS
from tasks.shared.runner.pool import open_executor

SCHEMA = pa.schema([("doc_id", pa.string()), ("text", pa.string())])
COLUMNS = ("doc_id", "text")


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve documents in four parts."""
    cut_finely(monkeypatch, 100)
    with PartWriter(tmp_path / "documents", SCHEMA, part_bytes=1, row_group_bytes=150) as writer:
        for number in range(12):
            writer.write([{"doc_id": f"{number:02d}", "text": "some words " * 4}])
    return tmp_path / "documents"


@pytest.mark.slow
def test_any_executor_makes_the_same_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_finely(monkeypatch)
    extracted = write_extracted(tmp_path / "extracted")
    assert len(parts_of(extracted / "documents")) >= 6
    local = make_all(extracted, tmp_path / "local", IN_PROCESS)
    for workers in (1, 2, 3):
        with open_executor("processes", workers) as executor:
            assert make_all(extracted, tmp_path / str(workers), executor) == local
    assert len([name for name in local if name.startswith("tokens/tokens/part-")]) >= 4
    dropped = pd.read_parquet(tmp_path / "local/cleaned/dropped")
    assert set(dropped["reason"]) == {"exact_duplicate", "too_short"}
    assert dropped["text"].str.endswith(" ").any()  # as extracted


def test_parts_change_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extracted = write_extracted(tmp_path / "extracted")
    make_all(extracted, tmp_path / "whole", IN_PROCESS)
    cut_finely(monkeypatch)
    make_all(extracted, tmp_path / "cut", IN_PROCESS)
    for name in ("cleaned/documents", "cleaned/dropped", "splits/splits", "vocabulary/tokens", "tokens/tokens"):
        whole, cut = (pd.read_parquet(tmp_path / place / name) for place in ("whole", "cut"))
        pd.testing.assert_frame_equal(whole, cut)
    documents = pd.read_parquet(tmp_path / "whole/cleaned/documents")
    assert (documents["group"] != documents["doc_id"]).any()
    files = [len(list((tmp_path / place / "cleaned/documents").iterdir())) for place in ("whole", "cut")]
    assert files[0] < files[1]


def test_the_parts_of_a_dataset_are_all_its_row_groups(dataset: Path) -> None:
    parts = parts_of(dataset)
    assert [part.number for part in parts] == list(range(len(parts)))
    ids = [doc_id for part in parts for doc_id in part.table(["doc_id"])["doc_id"].to_pylist()]
    assert ids == [f"{number:02d}" for number in range(12)]


@given(st.lists(st.tuples(st.integers(1, 10**8), st.integers(0, 8)), min_size=1, max_size=30), st.integers(1, 10**8))
def test_row_groups_are_divided_without_loss(groups: list[tuple[int, int]], size: int) -> None:
    runs = list(parts_module._divided([parts_module._Group(*group) for group in groups], 2, size))
    assert [number for first, end in runs for number in range(first, end)] == list(range(len(groups)))
    for first, end in runs:
        assert sum(content for content, _ in groups[first:end]) <= max(4 * size, groups[first][0])


def test_finished_parts_are_not_made_again(dataset: Path, tmp_path: Path) -> None:
    parts, place = parts_of(dataset), tmp_path / "place"
    arguments = (str(tmp_path / "calls"), "05")
    kept = KeptParts(tmp_path / "kept")
    with pytest.raises(RunError, match="document '05'"):
        make_parts("cleaning", Work(runner_calls.measure_part, arguments, COLUMNS), parts, place, IN_PROCESS, kept)
    assert not list(tmp_path.rglob(".making-*"))
    finished = list((tmp_path / "kept").glob("*/*/rows.txt"))
    assert 0 < len(finished) < len(parts)
    (tmp_path / "calls").unlink()
    finished[0].write_text("cut")  # as after a power cut
    work = Work(runner_calls.measure_part, (arguments[0], ""), COLUMNS)
    made = make_parts("cleaning", work, parts, place, IN_PROCESS, kept)
    assert sum(part["rows"] for part in made.counts) == 12
    assert len((tmp_path / "calls").read_text().split()) == len(parts) - len(finished) + 1


def test_a_file_that_another_run_took_is_named(dataset: Path, tmp_path: Path) -> None:
    parts, place, out = parts_of(dataset), tmp_path / "place", tmp_path / "out"
    work = Work(runner_calls.measure_part, (str(tmp_path / "calls"), ""), COLUMNS)
    made = make_parts("cleaning", work, parts, place, IN_PROCESS)
    collect(made, parts, "rows.txt", out)
    assert sorted(path.name for path in out.iterdir()) == [f"part-{part.number:05d}.parquet" for part in parts]
    (made.folder(parts[1]) / "rows.txt").unlink()
    with pytest.raises(RunError, match=r"part-00001/rows.txt: is gone; if no other run"):
        collect(made, parts, "rows.txt", tmp_path / "again")


def test_a_part_that_always_fails_is_named_with_its_document(dataset: Path, tmp_path: Path) -> None:
    parts = parts_of(dataset)
    message = rf"^{re.escape(str(dataset))}/part-\d+\.parquet, row groups 0 to 0: document '07': ValueError: bad text; "
    with open_executor("processes", 2) as executor, pytest.raises(RunError, match=message) as caught:
        work = Work(runner_calls.measure_part, (str(tmp_path / "calls"), "07"), COLUMNS)
        make_parts("cleaning", work, parts, tmp_path / "p", executor)
    assert "\n" not in str(caught.value)


def test_progress_counts_parts(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tasks.shared.progress.SECONDS_BETWEEN_LINES", 0)
    parts = parts_of(dataset)
    with caplog.at_level(logging.INFO, "corpusflow"):
        make_parts(
            "cleaning",
            Work(runner_calls.measure_part, (str(tmp_path / "c"), ""), COLUMNS),
            parts,
            tmp_path / "p",
            IN_PROCESS,
        )
    assert f"cleaning: {len(parts)} parts of {len(parts)}" in caplog.text


def test_a_damaged_part_is_named(dataset: Path) -> None:
    path = sorted(dataset.iterdir())[1]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ArtifactError, match=rf"^{re.escape(str(path))}: not readable as Parquet"):
        parts_of(dataset)


def test_checks_gather_the_rows_of_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ROWS", 5)
    frames = [pd.DataFrame({"a": range(rows)}) for rows in (3, 0, 3, 1, 4, 0)]
    assert [len(frame) for frame in batch.gathered(frames)] == [6, 5]
    assert next(iter(batch.gathered(frames[:1] * 2)))["a"].tolist() == [0, 1, 2, 0, 1, 2]
    assert list(batch.gathered([frames[1]], frames[1])) == [frames[1]]
    assert list(batch.gathered([])) == []


def test_a_file_that_ends_with_a_full_row_group_has_no_empty_one(tmp_path: Path):
    schema = pa.schema([("doc_id", pa.string())])
    with PartWriter(tmp_path, schema, part_bytes=UNBOUNDED, row_group_bytes=100) as writer:
        for first in range(0, 300, 100):
            ids = [f"{number:06d}" for number in range(first, first + 100)]
            writer.write(pa.RecordBatch.from_pydict({"doc_id": ids}, schema=schema))
        writer.write(pa.RecordBatch.from_pydict({"doc_id": []}, schema=schema))
    metadata = pq.read_metadata(tmp_path / ONE_FILE)
    assert min(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)) > 0
    assert parts_of(tmp_path)[-1].last_id() == "000299"
