"""MB/s of extracting Brown, compared with NLTK's paras() and TreebankWordDetokenizer in the same process.

    python -m benchmarks.extraction [--corpus brown.zip] [--rounds 3] [--texts 500] [--json]

A megabyte is a million bytes of UTF-8 of the extracted prose, for both. The median of the rounds is reported; NLTK runs
once. One process, warm file cache; the ratio compares CPU seconds, which other work on the machine disturbs less.
"documents" is reading, parsing and detokenizing; "stage" also writes the Parquet; "digest" is the cost of finding, in a
cached run, that the corpus has not changed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nltk.data
from nltk.corpus.reader import CategorizedTaggedCorpusReader
from nltk.tokenize.treebank import TreebankWordDetokenizer

from tasks.extraction import brown
from tasks.extraction.schema import DOCUMENTS
from tasks.extraction.settings import BrownSource
from tasks.shared.parquet import PartWriter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="brown.zip in an NLTK data folder; default: where a run looks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=500, help="number of texts, from the first")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    places = BrownSource()
    corpus = arguments.corpus or brown.find(brown.search_path(places.nltk_data, places.shared_nltk_data))
    if corpus is None:
        parser.error("no Brown Corpus found; set NLTK_DATA")
    rows = measure(corpus, arguments.rounds, arguments.texts)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['step']:<42}{row['seconds']:>8.2f} s, CPU {row['processor_seconds']:>6.2f} s"
            f"{row['megabytes_per_second']:>8.2f} MB/s {row['times_nltk']:>7.1f} times NLTK"
        )


def measure(corpus: Path, rounds: int, texts: int) -> list[dict[str, str | float]]:
    """One row per step: its name, wall and CPU seconds, MB/s, and how many times as fast as NLTK."""
    documents = list(itertools.islice(brown.documents(corpus), texts))
    megabytes = sum(len(document.text.encode()) for document in documents) / 1e6
    medians = {
        "documents": _median(lambda: list(itertools.islice(brown.documents(corpus), texts)), rounds),
        "stage": _median(lambda: _stage(corpus, texts), rounds),
        "digest": _median(lambda: brown.digest(corpus), rounds),
        "NLTK paras() + TreebankWordDetokenizer": _median(lambda: _nltk(corpus, texts), 1),
    }
    _, nltk_processor = medians["NLTK paras() + TreebankWordDetokenizer"]
    return [
        {
            "step": step,
            "seconds": seconds,
            "processor_seconds": processor,
            "megabytes_per_second": megabytes / seconds,
            "times_nltk": nltk_processor / processor,
        }
        for step, (seconds, processor) in medians.items()
    ]


def _stage(corpus: Path, texts: int) -> None:
    with tempfile.TemporaryDirectory() as out, PartWriter(Path(out), DOCUMENTS) as writer:
        for document in itertools.islice(brown.documents(corpus), texts):
            writer.write([document._asdict()])


def _nltk(corpus: Path, texts: int) -> None:
    nltk.data.path[:] = [str(corpus.parents[1])]
    root = nltk.data.ZipFilePathPointer(str(corpus), "brown/") if corpus.is_file() else str(corpus)
    reader = CategorizedTaggedCorpusReader(root, r"c[a-z]\d\d", cat_file="cats.txt", encoding="ascii")
    detokenizer = TreebankWordDetokenizer()
    for doc_id in reader.fileids()[:texts]:
        paragraphs = (" ".join(map(detokenizer.detokenize, paragraph)) for paragraph in reader.paras(doc_id))
        "\n\n".join(paragraphs)


def _median(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Wall seconds and CPU seconds."""
    times = []
    for _ in range(rounds):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    by_clock, by_processor = zip(*times, strict=True)
    return statistics.median(by_clock), statistics.median(by_processor)


if __name__ == "__main__":
    main()
