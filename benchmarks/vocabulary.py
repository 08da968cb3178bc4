"""MB/s of learning a BPE vocabulary and of encoding with it, compared with other libraries on the same texts.

    python -m benchmarks.vocabulary [--documents data/02_cleaned/latest/documents] [--size 8000] [--rounds 5]
                                    [--megabytes 0] [--json]

All cut the texts by the same pattern. Encoders share one vocabulary, and their ids are compared before anything is
reported. The libraries take turns, so that a busy machine slows all of them; the median of the rounds is reported.
sentencepiece is measured if it is installed (it cuts by its own rules, and gets lines, as it expects).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rustbpe
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from tasks.shared.parquet import read_batches
from tasks.vocabulary.bpe import learn_merges
from tasks.vocabulary.tokenizer import Encoder
from tasks.vocabulary.tokenizer_file import FIRST_BYTE, PATTERN, SPECIAL_TOKENS, Vocabulary, tokenizer_json

OURS = "corpusflow"
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=Path, default=Path("data/02_cleaned/latest/documents"))
    parser.add_argument("--size", type=int, default=8000, help="tokens in the vocabulary")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every library")
    parser.add_argument(
        "--megabytes", type=float, default=0, help="repeat the texts, slightly changed, up to this size"
    )
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    texts = enlarge(read_texts(arguments.documents), arguments.megabytes)
    rows = measure(texts, arguments.size, arguments.rounds)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['work']:<8} {row['library']:<32} {row['mb_per_second']:>7.1f} MB/s"
            f"  {row['times_as_long']:>5.2f} times as long as {OURS}"
        )


def read_texts(documents: Path) -> list[str]:
    """The texts of a Parquet dataset with a column `text`."""
    if not documents.is_dir():
        raise SystemExit(f"{documents}: no such folder; run the pipeline first, or name one with --documents")
    return [text for batch in read_batches(documents, ["text"]) for text in batch["text"].to_pylist()]


def enlarge(texts: list[str], megabytes: float) -> list[str]:
    """Copies with one letter pair changed, so that a larger corpus has new words too, as real ones do."""
    size, copies = _megabytes(texts), list(texts)
    for number in range(1, int(megabytes / size) if size else 0):
        copies += [text.replace("th", f"t{chr(ord('a') + number % 26)}") for text in texts]
    return copies


def measure(texts: list[str], size: int, rounds: int) -> list[Row]:
    """One row per library: work, MB/s, and its time over ours."""
    learners: dict[str, Callable[[], object]] = {
        OURS: lambda: learn_merges(texts, size),
        "rustbpe": lambda: _rustbpe_learns(texts, size),
        "tokenizers BpeTrainer": lambda: _hugging_face_learns(texts, size),
    }
    if importlib.util.find_spec("sentencepiece"):
        learners["sentencepiece"] = lambda: _sentencepiece_learns(texts, size)
    vocabulary = Vocabulary(tuple(learn_merges(texts, size)))
    encoder, theirs, tik = Encoder(vocabulary), hugging_face(vocabulary), tiktoken_encoding(vocabulary)
    encoders: dict[str, Callable[[], object]] = {
        OURS: lambda: encoder.encode(texts),
        "tiktoken encode_ordinary_batch": lambda: tik.encode_ordinary_batch(texts),
        "tokenizers encode_batch_fast": lambda: theirs.encode_batch_fast(texts),
        "tokenizers encode_batch": lambda: theirs.encode_batch(texts),
    }
    _assert_equal_ids(texts, encoder, theirs, tik)
    megabytes = _megabytes(texts)
    return [*_rows("learn", learners, megabytes, rounds), *_rows("encode", encoders, megabytes, rounds)]


def _rows(work: str, contenders: Mapping[str, Callable[[], object]], megabytes: float, rounds: int) -> list[Row]:
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return [
        {
            "work": work,
            "library": name,
            "megabytes": round(megabytes, 2),
            "seconds": round(median[name], 4),
            "mb_per_second": round(megabytes / median[name], 2),
            "times_as_long": round(statistics.median(map(_ratio, times, seconds[OURS])), 3),
        }
        for name, times in seconds.items()
    ]


def _ratio(theirs: float, ours: float) -> float:
    return theirs / ours


def _megabytes(texts: Sequence[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def _hugging_face_learns(texts: Sequence[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer, length=len(texts))
    return tokenizer


def _rustbpe_learns(texts: Sequence[str], size: int) -> None:
    rustbpe.Tokenizer().train_from_iterator(iter(texts), size - FIRST_BYTE, pattern=PATTERN)


def _sentencepiece_learns(texts: Sequence[str], size: int) -> None:
    sentencepiece = importlib.import_module("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.splitlines() if line),
        model_writer=io.BytesIO(),
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        max_sentence_length=2**20,
        minloglevel=2,
    )


def hugging_face(vocabulary: Vocabulary) -> Tokenizer:
    """The tokenizer of that library with this vocabulary."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        path.write_text(tokenizer_json(vocabulary), encoding="utf-8")
        return Tokenizer.from_file(str(path))


def tiktoken_encoding(vocabulary: Vocabulary) -> tiktoken.Encoding:
    """tiktoken's encoding with this vocabulary."""
    ranks = {token: number for number, token in enumerate(vocabulary.tokens) if number >= FIRST_BYTE}
    return tiktoken.Encoding("plain", pat_str=vocabulary.pattern, mergeable_ranks=ranks, special_tokens={})


def _assert_equal_ids(texts: Sequence[str], encoder: Encoder, theirs: Tokenizer, tik: tiktoken.Encoding) -> None:
    for text, ids, other in zip(texts, encoder.encode(texts), theirs.encode_batch_fast(texts), strict=True):
        if not ids.tolist() == other.ids == tik.encode_ordinary(text):
            raise SystemExit(f"the encoders disagree on a text that begins with {text[:60]!r}")


if __name__ == "__main__":
    main()
