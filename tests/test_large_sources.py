"""Sources that are large, or change while they are read: what extraction takes for them, and what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.extraction import table
from tasks.extraction.rows import Columns
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import read_table
from tasks.shared.store.fingerprint import PROJECT

COLUMNS = Columns("text", "label")
MIB = 2**20
SENTENCE = "The jury praised the manner in which the election was conducted. "
IN_A_PROCESS = """
import json, resource, sys
import pandas  # which pyarrow imports for its own purposes
from pathlib import Path
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract
from tasks.shared.errors import CorpusflowError
from tasks.shared.files import explain_storage_errors
settings, out, more = ExtractionSettings.model_validate(json.loads(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
mib = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, said = mib(), {}
if more:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)
try:
    with explain_storage_errors(out):
        said = extract.function(settings, out)
except CorpusflowError as error:
    said = {"error": str(error)}
print(json.dumps(said | {"mib": mib() - before}))
"""


def extracted(source: Path, kind: str = "table", address_space: int = 0) -> dict[str, Any]:
    """What extraction says, in a process of its own, and the memory it took beyond that of the libraries.

    `address_space` is what the process may take in addition to what it has at the start.
    """
    out = source.parent / "out"
    out.mkdir()
    settings = json.dumps({"source": kind, kind: {"path": str(source)}})
    command = [sys.executable, "-c", IN_A_PROCESS, settings, str(out), str(address_space)]
    done = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows_of_csv(file: Path, megabytes: int) -> int:
    """Writes that many megabytes, a thousand rows at a time."""
    rows = 0
    with file.open("w") as opened:
        opened.write("label,text\n")
        while opened.tell() < megabytes * 10**6:
            opened.writelines(f'l{row % 7},"{row} {SENTENCE * 30}"\n' for row in range(rows, rows + 1000))
            rows += 1000
    return rows


@pytest.mark.slow
def test_a_csv_of_a_gigabyte_is_streamed(tmp_path: Path) -> None:
    small, large = tmp_path / "small" / "t.csv", tmp_path / "large" / "t.csv"
    for file, megabytes in ((small, 200), (large, 1000)):
        file.parent.mkdir()
        rows = rows_of_csv(file, megabytes)
        found = extracted(file)
        assert found["rows"] == rows
        file.with_suffix(".mib").write_text(str(found["mib"]))
    mib = [float(file.with_suffix(".mib").read_text()) for file in (small, large)]
    assert mib[1] < 1.2 * mib[0] + 40, mib


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv", "folder"])
def test_a_text_of_200_mb_among_small_ones_is_read_or_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    texts = [f"text {number}" for number in range(1000)]
    texts[500] = "a line of it\n" * (200 * 10**6 // 13)
    source = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"label": ["x", "y"] * 500, "text": texts}), source)
    elif kind == "folder":
        for number, text in enumerate(texts):
            (source / "xy"[number % 2]).mkdir(parents=True, exist_ok=True)
            (source / "xy"[number % 2] / f"{number}.txt").write_text(text)
    else:
        with source.open("w") as opened:
            opened.write("label,text\n" if kind == "csv" else "")
            for number, text in enumerate(texts):
                row = {"label": "xy"[number % 2], "text": text}
                opened.write(f'{row["label"]},"{text}"\n' if kind == "csv" else json.dumps(row) + "\n")
    del texts
    found = extracted(source, "folder" if kind == "folder" else "table")
    if kind == "csv":
        assert "t.csv: row 501: a quote opens and does not close within 31 MiB" in found["error"]
        assert found["error"].endswith("or, if the text is that long, give the table as Parquet")
    else:
        assert (found["rows"], found["labels"]) == (1000, {"x": 500, "y": 500})
        assert found["mib"] < 1500


ALL_STAGES = """
import resource, sys
from pathlib import Path
sys.path.append("tests")
from test_shapes import made
size = 200 * 10**6
text = "some words and others " * (size // 22) if sys.argv[2] == "words" else "a" * size
small = [(f"{n % 2}", " ".join(f"word{n * k % 997}" for k in range(2, 22))) for n in range(1, 301)]
said, _ = made(Path(sys.argv[1]), [*small, ("0", text)])
print(said["tokenization"]["rows"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "one letter"])
def test_a_text_of_200_mb_passes_all_stages_up_to_tokenization_in_bounded_memory(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", ALL_STAGES, str(tmp_path), kind]
    done = subprocess.run(command, check=False, cwd=PROJECT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    rows, mib = map(int, done.stdout.split())
    assert rows == 301
    assert mib < 3_500


@pytest.mark.slow
def test_a_million_empty_texts_have_ids_in_order(tmp_path: Path) -> None:
    count, source = 1_000_100, tmp_path / "texts"
    source.mkdir()
    for number in range(2):
        labels = pa.array(["x", "y"]).take(pa.array([number] * (count // 2)))
        pq.write_table(pa.table({"label": labels, "text": pa.repeat("", count // 2)}), source / f"{number}.parquet")
    found = extracted(source)
    assert found["mib"] < 300
    assert (found["rows"], found["characters"], found["labels"]) == (count, 0, {"x": count // 2, "y": count // 2})
    ids = read_table(tmp_path / "out" / "documents", ["doc_id"])["doc_id"].to_pylist()
    assert ids == sorted(set(ids))
    assert [ids[1], ids[-1]] == ["e3b0c44298fc1c14-000002", "e3b0c44298fc1c14-m000001000100"]


@pytest.mark.parametrize("files", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_files_take_little_memory(tmp_path: Path, files: int) -> None:
    source = tmp_path / "texts"
    for label in ("x", "y"):
        (source / label).mkdir(parents=True)
        for number in range(files // 2):
            (source / label / f"{number}.txt").write_text(f"{number} {SENTENCE}")
    found = extracted(source, "folder")
    assert found["rows"] == files
    assert found["mib"] < 150 + files / 1000


def test_too_little_memory_ends_in_one_line(tmp_path: Path) -> None:
    source = tmp_path / "t.parquet"
    pq.write_table(pa.table({"label": ["x"] * 40, "text": ["a" * 10**6] * 40}), source)
    found = extracted(source, address_space=40 * MIB)
    assert found["error"].startswith("memory ran out (")
    assert "); finished stages are kept: lower runner.workers, or raise the limit of " in found["error"]


def test_a_part_that_vanishes_while_the_folder_is_read_is_named(tmp_path: Path) -> None:
    for number in range(2):
        pq.write_table(pa.table({"label": ["x"], "text": ["one"]}), tmp_path / f"part-{number}.parquet")
    reading = table.rows(tmp_path, COLUMNS)
    next(reading)
    (tmp_path / "part-1.parquet").unlink()
    with pytest.raises(CorpusError, match=r"part-1\.parquet: not readable as Parquet after row 0 \(.*No such file"):
        next(reading)


def test_a_csv_that_loses_its_end_while_it_is_read_is_no_table(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('label,text\nx,one\ny,"two, and more"\n')
    with file.open("r+b") as opened:
        opened.truncate(25)
    settings = ExtractionSettings.model_validate({"source": "table", "table": {"path": str(file)}})
    with pytest.raises(CorpusError, match=r"t\.csv: row 2: a quote opens and never closes"):
        extract.function(settings, tmp_path / "out")
