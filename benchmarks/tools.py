"""Each stage beside the best tool for its job: the same texts, the same run, all cores.

    python -m benchmarks.tools [--texts 10000] [--rounds 3] [--json]

Reading: the stage extraction (rows as Parquet, in order of a digest) beside DuckDB, which does the same by an SQL
statement, and pyarrow, which sorts by text, since it has no digests. Exact duplicates: digests of the texts beside the
groups of pyarrow and of DuckDB. Near duplicates: shingles, signatures, index and exact similarities beside rensa's
signatures and index alone. Encoding: with one vocabulary, beside tiktoken and tokenizers. What they find is compared
before anything is reported; the contenders take turns, and the median of the rounds counts. DuckDB and datasketch are
no dependencies of the pipeline, and are measured if they are installed; for the first `pip install -e '.[benchmarks]'`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.cleaning import DUPLICATES, duplicates_by_datasketch, duplicates_by_rensa, near_duplicates
from benchmarks.corpus import write
from benchmarks.vocabulary import hugging_face, tiktoken_encoding
from tasks.cleaning.digest import text_digest
from tasks.cleaning.duplicates import DuplicateFinder
from tasks.cleaning.normalize import normalize
from tasks.cleaning.shingles import shingles
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract
from tasks.shared.parquet import read_table
from tasks.shared.runner.cores import usable_cores
from tasks.vocabulary.bpe import learn_merges
from tasks.vocabulary.tokenizer import Encoder
from tasks.vocabulary.tokenizer_file import Vocabulary

OURS = "corpusflow"
VOCABULARY_SIZE = 8000
Contenders = Mapping[str, Callable[[], int]]
"""Each returns what it has found: a number that is the same for all."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3, help="turns of every contender")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    with tempfile.TemporaryDirectory() as work:
        rows = measure(Path(work), arguments.texts, arguments.rounds)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['work']:<18}{row['tool']:<30}{row['seconds']:>8.3f} s{row['cpu_seconds']:>9.3f} CPU s"
            f"{row['times_as_long']:>8.2f} times as long as {OURS}{row['times_the_cpu']:>8.2f} times its CPU s"
        )


def measure(work: Path, texts: int, rounds: int) -> list[Row]:
    """One row per piece of work and tool: seconds and processor seconds, and the time over that of the pipeline."""
    write(work / "texts", texts)
    written: list[str] = read_table(work / "texts", ["text"])["text"].to_pylist()
    tidy = [normalize(text) for text in written]
    contests = {
        "reading": reading(work, texts),
        "exact duplicates": exact_duplicates(tidy),
        "near duplicates": near_duplicates_of(tidy),
        "encoding": encoding(tidy),
    }
    return [row for name, contenders in contests.items() for row in _rows(name, contenders, rounds)]


def reading(work: Path, texts: int) -> Contenders:
    """From Parquet to Parquet in order; each returns the number of rows."""
    source, out = work / "texts", work / "out"
    settings = ExtractionSettings.model_validate({"source": "table", "table": {"path": str(source)}})

    def ours() -> int:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        return int(extract.function(settings, out)["rows"])

    def by_arrow() -> int:
        table = pq.read_table(source).sort_by("text")
        pq.write_table(table, work / "arrow.parquet", compression="zstd")
        return int(table.num_rows)

    def by_duckdb() -> int:
        duckdb = importlib.import_module("duckdb")
        rows, target = duckdb.read_parquet(f"{source}/*.parquet"), work / "duckdb.parquet"
        ordered = rows.project("md5(text) AS doc_id, label, text").order("doc_id")
        ordered.write_parquet(str(target), compression="zstd")
        return int(pq.read_metadata(target).num_rows)

    return {OURS: ours, "pyarrow": by_arrow, **_if_installed("duckdb", by_duckdb)}


def exact_duplicates(texts: Sequence[str]) -> Contenders:
    """Each returns the number of texts that repeat an earlier one."""
    table = pa.table({"text": texts})

    def ours() -> int:
        finder = DuplicateFinder({}, lambda position: shingles(texts[position], 1), near="keep")
        return sum(finder.add(n, str(n), bytes.fromhex(text_digest(text))) is not None for n, text in enumerate(texts))

    def by_arrow() -> int:
        return int(table.num_rows - table.group_by("text").aggregate([]).num_rows)

    def by_duckdb() -> int:
        duckdb = importlib.import_module("duckdb")
        duckdb.register("rows", table)
        return int(duckdb.execute("SELECT count(*) - count(DISTINCT text) FROM rows").fetchall()[0][0])

    return {OURS: ours, "pyarrow": by_arrow, **_if_installed("duckdb", by_duckdb)}


def near_duplicates_of(texts: Sequence[str]) -> Contenders:
    """Each returns 0: the others' signatures find candidates alone, which are not the same."""

    def of_sets(find: Callable[[list[Any]], object]) -> Callable[[], int]:
        def run() -> int:
            find([shingles(text, DUPLICATES.shingle_words) for text in texts])
            return 0

        return run

    def ours() -> int:
        near_duplicates(texts)
        return 0

    datasketch = _if_installed("datasketch", of_sets(duplicates_by_datasketch))
    return {OURS: ours, "rensa": of_sets(duplicates_by_rensa), **datasketch}


def encoding(texts: list[str]) -> Contenders:
    """Each returns the number of tokens."""
    vocabulary = Vocabulary(tuple(learn_merges(texts[:2000], VOCABULARY_SIZE)))
    encoder, theirs, tik = Encoder(vocabulary), hugging_face(vocabulary), tiktoken_encoding(vocabulary)
    cores = usable_cores()
    return {
        OURS: lambda: sum(map(len, encoder.encode(texts))),
        "tiktoken": lambda: sum(map(len, tik.encode_ordinary_batch(texts, num_threads=cores))),
        "tokenizers": lambda: sum(len(found.ids) for found in theirs.encode_batch_fast(texts)),
    }


def _if_installed(name: str, contender: Callable[[], int]) -> Contenders:
    return {name: contender} if importlib.util.find_spec(name) else {}


def _rows(work: str, contenders: Contenders, rounds: int) -> list[Row]:
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    found: dict[str, int] = {}
    for _ in range(rounds):
        for name, run in contenders.items():
            started, before = time.perf_counter(), _processor_seconds()
            found[name] = run()
            taken[name].append((time.perf_counter() - started, _processor_seconds() - before))
    if len(set(found.values())) > 1:
        raise SystemExit(f"{work}: the tools disagree: {found}")
    medians = {
        name: [statistics.median(column) for column in zip(*turns, strict=True)] for name, turns in taken.items()
    }
    return [
        {
            "work": work,
            "tool": name,
            "seconds": round(seconds, 4),
            "cpu_seconds": round(used, 4),
            "times_as_long": round(seconds / medians[OURS][0], 3),
            "times_the_cpu": round(used / medians[OURS][1], 3),
        }
        for name, (seconds, used) in medians.items()
    ]


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
