"""The vocabulary: what BPE learns, the file that keeps it, and the stage that makes it."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

import hypothesis
import numpy as np
import pandas as pd
import pytest
import regex
import rustbpe
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from textbook_bpe import encode as textbook_encode
from textbook_bpe import learn as textbook_learn
from textbook_bpe import learn_from_words
from token_corpus import DOCUMENTS, document, write_artifacts
from tokenizers import Tokenizer

from tasks.shared.errors import ArtifactError, CorpusError, SettingsError
from tasks.shared.progress import progress_listener
from tasks.vocabulary import bpe, learn
from tasks.vocabulary.bpe import default_size, drop_rare_merges, learn_merges
from tasks.vocabulary.count import count_pieces
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary
from tasks.vocabulary.tokenizer import Encoder, may_have_long_runs
from tasks.vocabulary.tokenizer_file import (
    PATTERN,
    UNBOUNDED_PATTERN,
    Vocabulary,
    printable_tokens,
    read_vocabulary,
    tokenizer_json,
)

FEW_LETTERS = st.lists(st.text(alphabet="aab c'’sé\n.1", max_size=40), max_size=6)
"""Few different characters: many ties, and repeats such as "aaaa" whose pairs overlap."""
SIZES = st.integers(258, 300)


@given(FEW_LETTERS, SIZES)
def test_merges_are_those_of_a_textbook(texts: list[str], size: int) -> None:
    assert learn_merges(texts, size, UNBOUNDED_PATTERN) == textbook_learn(texts, size)


def test_merges_of_english_are_those_of_a_textbook() -> None:
    texts = [document.text for document in DOCUMENTS]
    merges = learn_merges(texts, 360)
    assert merges == textbook_learn(texts, 360)
    assert len(merges) == 102


def test_merges_of_many_words_are_those_of_rustbpe() -> None:
    random = Random(1)
    syllables = [f"{consonant}{vowel}" for consonant in "bcdfgklmnprstv" for vowel in ("a", "ee", "i", "o", "é")]
    words = ["".join(random.choices(syllables, k=random.randint(1, 4))) for _ in range(3_000)]
    texts = [" ".join(words[int(random.random() ** 3 * len(words))] for _ in range(200)) for _ in range(50)]
    theirs = rustbpe.Tokenizer()
    theirs.train_from_iterator(iter(texts), 3_000 - 2, pattern=PATTERN)
    tokens = Vocabulary(tuple(learn_merges(texts, 3_000))).tokens[2:]
    assert tokens == tuple(bytes(token) for token, _ in sorted(theirs.get_mergeable_ranks(), key=lambda pair: pair[1]))


@pytest.mark.parametrize("seed", range(20))
def test_many_merges_at_once_are_those_of_one_at_a_time(seed: int) -> None:
    """Few letters and small counts for many ties, and runs of one letter, whose pairs overlap."""
    random = Random(seed)
    for _ in range(25):
        letters, longest_run = "abcdefghijkl"[: random.randint(1, 12)], random.choice((1, 1, 2, 9))
        pieces = {
            "".join(random.choice(letters) * random.randint(1, longest_run) for _ in range(random.randint(0, 8)))
            for _ in range(random.randint(1, 25))
        }
        words, most = [piece.encode() for piece in sorted(pieces)], random.choice((1, 3, 50))
        counts, number = [random.randint(1, most) for _ in words], random.randint(1, 60)
        learner = learn.Learner(words, counts)
        merges = learner.merge(number)
        expected, used = learn_from_words([[2 + byte for byte in word] for word in words], counts, number)
        assert merges == expected
        size = 258 + len(merges)
        assert learner.token_counts(size).tolist() == [used[token] for token in range(size)]


SPACED = st.text(alphabet="ab'.\n \u00a0\t\x1c\u20031é", max_size=30)


@given(st.lists(SPACED, max_size=5))
def test_pieces_are_those_of_the_pattern(texts: list[str]) -> None:
    assert count_pieces(texts) == Counter(piece for text in texts for piece in regex.findall(PATTERN, text))


@given(FEW_LETTERS, st.randoms())
def test_the_order_of_the_texts_changes_nothing(texts: list[str], random: Random) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    assert learn_merges(texts, 280, UNBOUNDED_PATTERN) == learn_merges(shuffled, 280, UNBOUNDED_PATTERN)


@given(FEW_LETTERS, SIZES, st.integers(1, 6))
def test_rare_merges_go_and_the_counts_stay_exact(texts: list[str], size: int, min_count: int) -> None:
    counted = count_pieces(texts, UNBOUNDED_PATTERN)
    learner = learn.Learner([piece.encode() for piece in counted], list(counted.values()))
    learned = learner.merge(size - 258)
    merges, counts = drop_rare_merges(learned, learner.token_counts(258 + len(learned)), min_count)

    assert merges == learned[: len(merges)]
    ids = np.array([id_ for text in texts for id_ in textbook_encode(text, merges)], np.int64)
    assert counts.tolist() == np.bincount(ids, minlength=len(counts)).tolist()
    assert not merges or counts[-1] >= min_count
    if len(merges) < len(learned):
        one_more = [i for text in texts for i in textbook_encode(text, learned[: len(merges) + 1])]
        assert one_more.count(258 + len(merges)) < min_count


def test_a_repeated_character_and_no_text() -> None:
    assert learn_merges(["a" * 1024], 1000) == [(99, 99), *((id_, id_) for id_ in range(258, 263))]
    assert learn_merges([], 1000) == []
    assert learn_merges(["", ""], 1000) == []


RUNS = {
    "one letter": lambda n: "A" * n,
    "dashes": lambda n: "—-" * (n // 2),
    "DNA": lambda n: "".join(Random(1).choices("ACGT", k=n)),
    "base64": lambda n: base64.b64encode(Random(1).randbytes(n)).decode(),
    "emoji": lambda n: "🙂" * n,
    "no spaces": lambda n: "".join(Random(1).choices("北京大学公布新学期课程安排", k=n)),
    "spaces": lambda n: " " * n,
}


@pytest.mark.parametrize("kind", RUNS)
def test_long_runs_take_linear_time(kind: str) -> None:
    """A quadratic algorithm would take minutes for the longer text."""
    seconds = []
    for length in (50_000, 200_000):
        text = RUNS[kind](length)
        started = time.process_time()
        vocabulary = Vocabulary(tuple(learn_merges([text], 2_000)))
        encoder = Encoder(vocabulary)
        ids = encoder.encode([text])[0]
        seconds.append(time.process_time() - started)
        assert encoder.decode(ids) == text
        assert max(map(len, vocabulary.tokens)) <= 256
    assert seconds[1] < 10 * seconds[0] + 2


MIXED = st.lists(
    st.sampled_from(
        ["a", "ab" * 33, "é" * 65, "1" * 64, " ", "  ", "\n" * 65, " " * 66, "\u3000 " * 40, "-", "#\x01" * 40]
    )
)


@hypothesis.settings(max_examples=15)
@given(MIXED)
def test_texts_with_long_runs_are_encoded_as_a_textbook_does(parts: list[str]) -> None:
    text = "".join(parts)
    merges = learn_merges([text, "a b ab"], 300)
    assert merges == textbook_learn([text, "a b ab"], 300)
    assert Encoder(Vocabulary(tuple(merges))).encode([text])[0].tolist() == textbook_encode(text, merges)


def test_ordinary_texts_have_the_vocabulary_of_the_unbounded_pattern() -> None:
    texts = [document.text for document in DOCUMENTS]
    assert learn_merges(texts, 360, UNBOUNDED_PATTERN) == learn_merges(texts, 360)
    assert not any(map(may_have_long_runs, texts))


def test_merging_reports_its_progress(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(learn, "SECONDS_BETWEEN_LINES", 0)
    shares: list[float] = []
    with caplog.at_level(logging.INFO, "corpusflow"), progress_listener(shares.append):
        learn_merges([document.text for document in DOCUMENTS], 358)
    assert "vocabulary: 100 of 100 merges" in caplog.text
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_size_without_room_for_the_bytes_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"vocabulary.size: 257 is too small; give 258 or more"):
        learn_merges(["text"], 257)
    with pytest.raises(ValidationError, match="greater than or equal to 258"):
        VocabularySettings(size=257)
    assert learn_merges(["text"], 258) == []


IN_ANOTHER_PROCESS = """
import hashlib, sys
from pathlib import Path
from tasks.shared.parquet import PartWriter
from tasks.vocabulary.count import count_pieces
from tasks.vocabulary.learn import Learner
from tasks.vocabulary.schema import TOKENS
from tasks.vocabulary.table import token_rows
from tasks.vocabulary.tokenizer_file import Vocabulary, tokenizer_json

texts = [Path(sys.argv[1]).read_text(encoding="utf-8")[start:] for start in range(0, 2000, 7)]
counts = count_pieces(texts)
learner = Learner([piece.encode() for piece in counts], list(counts.values()))
vocabulary = Vocabulary(tuple(learner.merge(600 - 258)))
with PartWriter(Path(sys.argv[2]), TOKENS) as table:
    table.write(token_rows(vocabulary, learner.token_counts(600)))
written = (Path(sys.argv[2]) / "part-00000.parquet").read_bytes()
print(vocabulary.size, hashlib.sha256(tokenizer_json(vocabulary).encode() + written).hexdigest())
"""


def test_every_process_makes_the_same_bytes(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    outputs = set()
    for seed, threads in (("0", "1"), ("1", "4"), ("4711", "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads, "PYTHONPATH": str(root)}
        arguments = [sys.executable, "-c", IN_ANOTHER_PROCESS, __file__, str(tmp_path / seed)]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert outputs.pop().startswith("600 ")


def test_hugging_face_reads_the_file(tmp_path: Path) -> None:
    vocabulary = Vocabulary(tuple(learn_merges((document.text for document in DOCUMENTS), 350)))
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer_json(vocabulary), encoding="utf-8")
    theirs = Tokenizer.from_file(str(path))

    assert json.loads(theirs.to_str()) == json.loads(path.read_text(encoding="utf-8"))
    assert theirs.get_vocab_size() == 350
    assert [theirs.id_to_token(0), theirs.id_to_token(1)] == ["[PAD]", "[UNK]"]
    assert [theirs.id_to_token(number) for number in range(350)] == printable_tokens(vocabulary)
    assert vocabulary.tokens[2:258] == tuple(bytes([byte]) for byte in range(256))
    assert read_vocabulary(path) == vocabulary


DAMAGES = {
    "cut short": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not an object": lambda text: "[1, 2]",
    "a token renamed": lambda text: text.replace('"[PAD]": 0', '"<pad>": 0'),
    "an id twice": lambda text: text.replace('"[UNK]": 1,', '"[UNK]": 0,'),
    "a merge gone": lambda text: json.dumps(_without_last_merge(json.loads(text))),
    "a merge of nothing": lambda text: text.replace('"merges": [', '"merges": [["xx", "yy"],'),
    "a merge of three": lambda text: text.replace('"merges": [', '"merges": [["a", "b", "c"],'),
    "lower-casing added": lambda text: text.replace('"normalizer": null', '"normalizer": {"type": "Lowercase"}'),
    "[PAD] looked for in texts": lambda text: text.replace('"added_tokens": []', '"added_tokens": [{"id": 0}]'),
}


def _without_last_merge(content: dict[str, dict[str, list[object]]]) -> object:
    content["model"]["merges"].pop()
    return content


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    whole = tokenizer_json(Vocabulary(tuple(learn_merges(["the text the text"], 270))))
    path = tmp_path / "tokenizer.json"
    path.write_text(DAMAGES[damage](whole), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != whole
    with pytest.raises(ArtifactError) as caught:
        read_vocabulary(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"tokenizer.json: cannot be read .* run the vocabulary stage again"):
        Encoder.from_file(tmp_path / "tokenizer.json")


def test_the_stage_learns_from_training_texts_alone(tmp_path: Path) -> None:
    given_, out = write_artifacts(tmp_path), tmp_path / "out"
    out.mkdir()
    summary = learn_vocabulary.function(
        VocabularySettings(size=400), out, **given_._asdict(), scratch=tmp_path / "scratch"
    )
    tokens = pd.read_parquet(out / "tokens")

    training = [document.text for document in DOCUMENTS if document.split == "train"]
    vocabulary = read_vocabulary(out / "tokenizer.json")
    assert list(vocabulary.merges) == textbook_learn(training, 400)[: len(vocabulary.merges)]
    assert summary["rows"] == vocabulary.size == len(tokens)
    counts = np.bincount([i for text in training for i in textbook_encode(text, vocabulary.merges)])
    assert tokens["count"].tolist() == np.pad(counts, (0, len(tokens) - len(counts))).tolist()
    assert summary["training_tokens"] == counts.sum()
    assert (tokens["count"].iloc[258:] >= 0).all()
    assert tokens["bytes"].tolist() == list(vocabulary.tokens)
    assert tokens["merge_rank"].iloc[:258].isna().all()
    assert tokens["merge_rank"].iloc[258:].tolist() == list(range(len(vocabulary.merges)))
    said = tokens[tokens["token"] == "Ġsaid"]
    assert said["text"].tolist() == [" said"]
    assert not tokens["text"].str.contains("zyzzyva", na=False).any()
    assert pd.isna(tokens["text"].iloc[2 + 0xE6])  # the first byte of 東 is not a character


def test_the_stage_gives_the_same_bytes_however_its_input_is_cut(tmp_path: Path) -> None:
    digests = set()
    for name, part_bytes in (("whole", 2**20), ("parts", 1)):
        out = tmp_path / name / "out"
        given_ = write_artifacts(tmp_path / name, part_bytes=part_bytes)
        out.mkdir()
        learn_vocabulary.function(
            VocabularySettings(size=300), out, **given_._asdict(), scratch=tmp_path / name / "scratch"
        )
        digests.add(
            tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.rglob("*")) if file.is_file())
        )
    assert len(digests) == 1
    assert len(digests.pop()) == 3


@pytest.mark.parametrize(
    ("texts", "size"), [(1, 2_000), (400, 2_000), (1_000, 4_000), (4_000, 16_000), (10**6, 16_000)]
)
def test_the_default_size_grows_with_the_number_of_texts(texts: int, size: int) -> None:
    assert default_size(texts) == size


def test_the_stage_uses_the_default_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "MIN_SIZE", 270)
    given_, out = write_artifacts(tmp_path), tmp_path / "out"
    out.mkdir()
    settings = VocabularySettings(min_count=1)
    assert settings.size is None
    training = sum(document.split == "train" for document in DOCUMENTS)
    assert learn_vocabulary.function(settings, out, **given_._asdict(), scratch=tmp_path / "scratch")["rows"] == max(
        270, 4 * training
    )


def test_min_count_stops_before_the_size_is_reached(tmp_path: Path) -> None:
    given_ = write_artifacts(tmp_path)
    sizes = []
    for min_count in (1, 2, 5, 1000):
        out = tmp_path / str(min_count)
        out.mkdir()
        settings = VocabularySettings(size=400, min_count=min_count)
        sizes.append(learn_vocabulary.function(settings, out, **given_._asdict(), scratch=tmp_path / "scratch")["rows"])
    assert sizes[0] > sizes[1] > sizes[2] > sizes[3] == 258


def test_a_train_split_without_documents_is_refused(tmp_path: Path) -> None:
    given_ = write_artifacts(tmp_path, [document("a", "x", "test", "a text"), document("b", "y", "test", "another")])
    with pytest.raises(CorpusError, match="the train split has no document"):
        learn_vocabulary.function(VocabularySettings(), tmp_path, **given_._asdict(), scratch=tmp_path / "scratch")


def test_splits_of_other_documents_are_refused(tmp_path: Path) -> None:
    first, second = write_artifacts(tmp_path / "1"), write_artifacts(tmp_path / "2", DOCUMENTS[:3])
    inputs = {"cleaned": second.cleaned, "splits": first.splits, "scratch": tmp_path / "scratch"}
    with pytest.raises(ArtifactError, match="document 'c1' is not in"):
        learn_vocabulary.function(VocabularySettings(), tmp_path, **inputs)
