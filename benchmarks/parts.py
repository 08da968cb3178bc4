"""Seconds and processor seconds from cleaning to tokenization, by the number of workers.

    python -m benchmarks.parts [--texts 5000] [--words 300] [--workers 1 2] [--json]

Texts of 20 labels, of words as frequent as in a language (Zipf), a fiftieth of them near duplicates; checks and
splitting are not part of the time. Each number of workers, 0 for the run's own process, has a process of its own; the
start of the workers counts. The digests of what is written are compared. The processor seconds of the run's own process
are those that more workers cannot divide.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction.schema import DATASET, DOCUMENTS
from tasks.shared.batched import batched
from tasks.shared.parquet import PartWriter
from tasks.shared.runner.pool import open_executor
from tasks.splitting.settings import SplittingSettings
from tasks.splitting.task import split
from tasks.tokenization.settings import TokenizationSettings
from tasks.tokenization.task import tokenize
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary

LABELS, DISTINCT = 20, 200_000
STAGES = ("cleaning", "vocabulary", "tokenization")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=5_000)
    parser.add_argument("--words", type=int, default=300, help="words of a text")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    parser.add_argument("--measure", nargs=3, metavar=("DOCUMENTS", "OUT", "WORKERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        documents, out, workers = arguments.measure
        print(json.dumps(measure(Path(documents), Path(out), int(workers))))
        return
    with tempfile.TemporaryDirectory() as work:
        write_documents(Path(work, "documents"), arguments.texts, arguments.words)
        rows = [_in_a_process(Path(work), workers) for workers in arguments.workers]
    if len({row.pop("digest") for row in rows}) > 1:
        raise SystemExit("the workers wrote something else")
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        stages = ", ".join(f"{name} {row[name]:.2f}" for name in STAGES)
        used, own = row["cpu_seconds"], row["own_cpu_seconds"]
        print(f"{row['workers']} workers: {row['seconds']:.2f} s ({stages})")
        print(f"    {used:.2f} processor seconds, {own:.2f} of them of the run's own process")


def write_documents(folder: Path, texts: int, words: int) -> None:
    """An artifact of extraction with generated texts."""
    with PartWriter(folder / DATASET, DOCUMENTS) as writer:
        for rows in batched(_rows(texts, words), 256):
            writer.write(rows)


def _rows(texts: int, words: int) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(0)
    shares = 1 / np.arange(1, DISTINCT + 1)
    cumulated = np.cumsum(shares / shares.sum())
    vocabulary = np.array([_word(number) for number in range(DISTINCT)])
    text = ""
    for number in range(texts):
        if number % 50 != 49:  # else the text before, with other words at its end
            drawn = vocabulary[np.searchsorted(cumulated, random.random(words))]
            text = " ".join([*drawn, f"label{number % LABELS}."])
        else:
            text = f"{text} again {number}"
        name = f"{number:09d}"
        yield {"doc_id": name, "label": f"label {number % LABELS}", "source": name, "text": text, "given_split": None}


def _word(number: int) -> str:
    """A word of two syllables or more; frequent ones are short."""
    number, syllables = number + 80, list[str]()
    while number >= 0:
        number, syllable = divmod(number, 80)
        syllables.append("bcdfghjklmnprstv"[syllable % 16] + "aeiou"[syllable // 16])
        number -= 1
    return "".join(syllables)


def _in_a_process(work: Path, workers: int) -> dict[str, Any]:
    out = work / f"out-{workers}"
    command = [sys.executable, "-m", "benchmarks.parts", "--measure", str(work / "documents"), str(out), str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def measure(documents: Path, out: Path, workers: int) -> dict[str, Any]:
    """Seconds of each stage, and processor seconds of this process and its workers."""
    seconds: dict[str, float] = {}
    places = {name: out / name for name in (*STAGES, "splitting")}
    for place in places.values():
        place.mkdir(parents=True)
    before, own, others = time.perf_counter(), *_processor_seconds()
    with open_executor("processes" if workers else "local", workers or None) as executor:
        scratch = out / "scratch"
        clean.function(CleaningSettings(), places["cleaning"], documents=documents, scratch=scratch, executor=executor)
        seconds["cleaning"] = time.perf_counter() - before
        paused, (own_before, _) = time.perf_counter(), _processor_seconds()
        split.function(SplittingSettings(), places["splitting"], cleaned=places["cleaning"])
        between, own_between = time.perf_counter() - paused, _processor_seconds()[0] - own_before
        inputs = {
            "cleaned": places["cleaning"],
            "splits": places["splitting"],
            "scratch": scratch,
            "executor": executor,
        }
        started = time.perf_counter()
        learn_vocabulary.function(VocabularySettings(), places["vocabulary"], **inputs)
        seconds["vocabulary"] = time.perf_counter() - started
        started = time.perf_counter()
        tokenize.function(TokenizationSettings(), places["tokenization"], **inputs, vocabulary=places["vocabulary"])
        seconds["tokenization"] = time.perf_counter() - started
    total = time.perf_counter() - before - between
    own, others = _processor_seconds()[0] - own - own_between, _processor_seconds()[1] - others
    files = [path for place in places.values() for path in sorted(place.rglob("*")) if path.is_file()]
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()
    figures = {"seconds": total, "cpu_seconds": own + others, "own_cpu_seconds": own}
    return {"workers": workers, **seconds, **figures, "digest": digest}


def _processor_seconds() -> tuple[float, float]:
    """Of this process, and of its workers that have ended."""
    own, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, workers.ru_utime + workers.ru_stime


if __name__ == "__main__":
    main()
