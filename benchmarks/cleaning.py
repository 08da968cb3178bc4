"""MB/s of cleaning, as a whole and by step, and of two MinHash libraries.

    python -m benchmarks.cleaning [--documents FOLDER] [--rounds 5] [--json]

FOLDER is an artifact of extraction (`corpusflow path extraction`); without it, the Brown Corpus is extracted.
"rough" is the same text with typographic quotes, decomposed accents and doubled spaces, so that every step has work to
do. A megabyte is a million bytes of UTF-8; the median of the rounds is reported. datasketch is measured if it is
installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rensa import RMinHash, RMinHashLSH

from tasks.cleaning.digest import text_digest
from tasks.cleaning.duplicates import DuplicateFinder, band_count, shared_buckets, sign
from tasks.cleaning.normalize import normalize
from tasks.cleaning.settings import CleaningSettings, DuplicateSettings
from tasks.cleaning.shingles import Hashes, shingles
from tasks.cleaning.task import clean
from tasks.extraction.schema import DATASET
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract
from tasks.shared.parquet import read_table

DUPLICATES = DuplicateSettings()
Measured = tuple[str, Callable[[], object]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, help="an artifact of extraction")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        documents = arguments.documents
        if documents is None:
            documents = Path(work, "documents")
            extract.function(ExtractionSettings(), documents)
        rows = measure(documents, Path(work), arguments.rounds)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['step']:<44}{row['seconds']:>9.3f} s{row['megabytes_per_second']:>9.1f} MB/s")


def measure(documents: Path, work: Path, rounds: int) -> list[dict[str, str | float]]:
    """One row per step: its name, seconds, and megabytes of text per second."""
    texts: list[str] = read_table(documents / DATASET, ["text"])["text"].to_pylist()
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    rows: list[dict[str, str | float]] = []
    for step, run in _steps(texts, documents, work):
        seconds = statistics.median(_timed(run) for _ in range(rounds))
        rows.append({"step": step, "seconds": seconds, "megabytes_per_second": megabytes / seconds})
    return rows


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _steps(texts: list[str], documents: Path, work: Path) -> Iterator[Measured]:
    rough = [
        text.replace("'", "’").replace('"', "“").replace("ly ", "ly  ").replace("e,", "e\u0301,") for text in texts
    ]
    tidy = [normalize(text) for text in texts]
    sets = [shingles(text, DUPLICATES.shingle_words) for text in tidy]
    yield "normalize, as extracted", lambda: [normalize(text) for text in texts]
    yield "normalize, rough", lambda: [normalize(text) for text in rough]
    yield "shingles", lambda: [shingles(text, DUPLICATES.shingle_words) for text in tidy]
    yield "signatures and index, rensa", lambda: duplicates_by_rensa(sets)
    if importlib.util.find_spec("datasketch"):
        yield "signatures and index, datasketch", lambda: duplicates_by_datasketch(sets)
    yield "duplicates, all together", lambda: near_duplicates(tidy)
    yield "the stage, Parquet to Parquet", lambda: _stage(documents, work)


def duplicates_by_rensa(sets: Sequence[Hashes]) -> None:
    """Signatures of shingles and an index of them."""
    count = DUPLICATES.permutations
    index = RMinHashLSH(DUPLICATES.threshold, count, band_count(count, DUPLICATES.threshold))
    for number, hashes in enumerate(sets):
        signature = RMinHash(count, DUPLICATES.seed)
        signature.update(hashes.view("V8").tolist())
        index.query(signature)
        index.insert(number, signature)


def duplicates_by_datasketch(sets: Sequence[Hashes]) -> None:
    """The same with datasketch."""
    datasketch = importlib.import_module("datasketch")
    count = DUPLICATES.permutations
    bands = band_count(count, DUPLICATES.threshold)
    index = datasketch.MinHashLSH(params=(bands, count // bands), num_perm=count)
    for number, hashes in enumerate(sets):
        signature = datasketch.MinHash(count, seed=DUPLICATES.seed, hashfunc=int)  # they are hashes already
        signature.update_batch((hashes >> np.uint64(32)).tolist())
        index.query(signature)
        index.insert(number, signature)


def near_duplicates(texts: Sequence[str]) -> None:
    """What the stage does to find them: shingles, signatures, index, exact similarities."""
    options = DUPLICATES.model_dump()
    policies = {name: options.pop(name) for name in ("exact", "near")}
    duplicates = DuplicateFinder(
        shared_buckets(*sign(texts, **options).compared()),
        lambda number: shingles(texts[number], DUPLICATES.shingle_words),
        **policies,
        threshold=DUPLICATES.threshold,
    )
    for number, text in enumerate(texts):
        duplicates.add(number, str(number), bytes.fromhex(text_digest(text)))


def _stage(documents: Path, work: Path) -> None:
    with tempfile.TemporaryDirectory(dir=work) as out, tempfile.TemporaryDirectory(dir=work) as scratch:
        clean.function(CleaningSettings(), Path(out), documents=documents, scratch=Path(scratch))


if __name__ == "__main__":
    main()
