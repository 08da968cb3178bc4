"""Tokens: encoding agrees with two other encoders and loses nothing; what is stored is what readers get."""

from __future__ import annotations

import hashlib
import random
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook_bpe import encode as textbook_encode
from token_corpus import DOCUMENTS, Artifacts, brown_texts, write_artifacts
from tokenizers import Tokenizer

from tasks.extraction.document import Document
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import PartWriter
from tasks.tokenization.schema import tokens_schema
from tasks.tokenization.settings import TokenizationSettings
from tasks.tokenization.store import open_tokens, token_rows
from tasks.tokenization.task import tokenize
from tasks.vocabulary.bpe import learn_merges
from tasks.vocabulary.tokenizer import Encoder
from tasks.vocabulary.tokenizer_file import Vocabulary, tokenizer_json

SAMPLE = [document.text for document in DOCUMENTS] + [Path(__file__).read_text(encoding="utf-8")]


@cache
def small() -> Vocabulary:
    return Vocabulary(tuple(learn_merges(SAMPLE, 500)))


@cache
def encoder() -> Encoder:
    return Encoder(small())


def hugging_face(vocabulary: Vocabulary) -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        path.write_text(tokenizer_json(vocabulary), encoding="utf-8")
        return Tokenizer.from_file(str(path))


@cache
def small_hugging_face() -> Tokenizer:
    return hugging_face(small())


ANY_TEXT = st.text(max_size=60)
"""Any Unicode but surrogates: NUL, white space of all kinds, combining marks, emoji, unassigned code points."""
LIKE_SAMPLE = st.text(alphabet="the said'’ \n\t\r\x0019[]PADUNK.é🙂\u0301\u200d東", max_size=60)


@given(ANY_TEXT | LIKE_SAMPLE)
def test_text_comes_back(text: str) -> None:
    (ids,) = encoder().encode([text])
    assert encoder().decode(ids) == text
    assert small_hugging_face().decode(ids.tolist()) == text


@given(ANY_TEXT | LIKE_SAMPLE)
def test_ids_are_those_of_a_textbook_and_of_hugging_face(text: str) -> None:
    (ids,) = encoder().encode([text])
    assert ids.tolist() == textbook_encode(text, small().merges)
    assert ids.tolist() == small_hugging_face().encode(text).ids
    assert not np.isin(ids, [0, 1]).any()


@given(st.lists(st.text(alphabet="ab", max_size=30), min_size=1, max_size=5), st.text(alphabet="ab", max_size=60))
def test_overlapping_merges_agree_too(learned_from: list[str], text: str) -> None:
    vocabulary = Vocabulary(tuple(learn_merges(learned_from, 290)))
    (ids,) = Encoder(vocabulary).encode([text])
    assert ids.tolist() == textbook_encode(text, vocabulary.merges)
    assert ids.tolist() == hugging_face(vocabulary).encode(text).ids


def test_every_character_there_is_gives_the_same_ids_as_hugging_face() -> None:
    points = [*range(0xD800), *range(0xE000, 0x33500), *range(0xE0000, 0xE0200)]  # the planes between are empty
    texts = ["".join(f"a{chr(point)}a " for point in points[i : i + 4096]) for i in range(0, len(points), 4096)]
    ours = encoder().encode(texts)
    theirs = small_hugging_face().encode_batch_fast(texts)
    assert all(mine.tolist() == other.ids for mine, other in zip(ours, theirs, strict=True))
    assert [encoder().decode(ids) for ids in ours] == texts


@pytest.mark.brown
def test_real_texts_give_the_same_ids_as_hugging_face() -> None:
    texts = brown_texts(20)
    vocabulary = Vocabulary(tuple(learn_merges(texts, 3000)))
    ours = Encoder(vocabulary).encode(texts)
    theirs = hugging_face(vocabulary).encode_batch_fast(texts)
    assert sum(map(len, texts)) > 150_000
    assert [ids.tolist() for ids in ours] == [other.ids for other in theirs]
    assert [Encoder(vocabulary).decode(ids) for ids in ours] == texts


LONG = 1_000_000
RUNS = {
    "spaces": " " * LONG,
    "spaces before a word": " " * LONG + "x",
    "line breaks": "\n" * LONG,
    "one letter": "a" * LONG,
    "a letter of two bytes": "é" * LONG,
    "emoji": "🙂" * LONG,
    "digits": "1" * LONG,
    "random letters": "".join(random.Random(0).choices("abcdeth", k=LONG)),
    "apostrophes": "'" * LONG,
    "words without spaces": "東京" * (LONG // 2),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("run", RUNS)
def test_a_run_of_a_million_characters_is_a_text_like_any_other(run: str) -> None:
    (ids,) = encoder().encode([RUNS[run]])
    assert encoder().decode(ids) == RUNS[run]


def test_names_of_special_tokens_are_ordinary_text() -> None:
    text = "[PAD] is [UNK][PAD]"
    (ids,) = encoder().encode([text])
    assert ids.min() > 1
    assert ids.tolist() == small_hugging_face().encode(text).ids
    assert encoder().decode(ids) == text
    assert encoder().decode([0, 1]) == "[PAD][UNK]"


def test_decoding_says_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match=r"token ids go from 0 to 499, found 3 to 500"):
        encoder().decode([3, 500])
    assert encoder().decode([]) == ""
    assert encoder().decode([2 + 0xE6]) == "\N{REPLACEMENT CHARACTER}"


def large() -> Vocabulary:
    """Every pair of bytes is a token: more than two bytes can number."""
    return Vocabulary(tuple((left, right) for left in range(2, 258) for right in range(2, 258)))


@pytest.mark.parametrize(("vocabulary", "id_type"), [(small(), np.uint16), (large(), np.uint32)])
def test_ids_take_the_smallest_integers(tmp_path: Path, vocabulary: Vocabulary, id_type: type) -> None:
    _, out = build(tmp_path, vocabulary)
    assert Encoder(vocabulary).encode(["some text"])[0].dtype == id_type
    assert next(iter(open_tokens(out, "train"))).dtype == id_type
    stored = pq.read_schema(out / "tokens" / "part-00000.parquet").field("token_ids").type.value_type
    assert stored == pa.from_numpy_dtype(id_type)


def build(
    folder: Path, vocabulary: Vocabulary, settings: TokenizationSettings | None = None, part_bytes: int = 2**20
) -> tuple[Artifacts, Path]:
    """Runs the stage on the small corpus."""
    given_, out = write_artifacts(folder, part_bytes=part_bytes), folder / "out"
    out.mkdir()
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "tokenizer.json").write_text(tokenizer_json(vocabulary), encoding="utf-8")
    tokenize.function(
        settings or TokenizationSettings(),
        out,
        **given_._asdict(),
        vocabulary=folder / "vocabulary",
        scratch=folder / "scratch",
    )
    return given_, out


def test_the_stage_stores_every_document_of_the_split(tmp_path: Path) -> None:
    _, out = build(tmp_path, small())
    kept = [document for document in DOCUMENTS if document.split]
    tokens = pd.read_parquet(out / "tokens")
    assert tokens[["doc_id", "label", "split"]].values.tolist() == [[d.doc_id, d.label, d.split] for d in kept]
    assert [encoder().decode(ids) for ids in tokens["token_ids"]] == [document.text for document in kept]
    assert tokens["length"].tolist() == [len(ids) for ids in tokens["token_ids"]]

    metadata = pq.read_schema(out / "tokens" / "part-00000.parquet").metadata
    written = (tmp_path / "vocabulary" / "tokenizer.json").read_bytes()
    assert metadata[b"vocabulary_digest"].decode() == hashlib.sha256(written).hexdigest()
    assert metadata[b"vocabulary_size"] == b"500"
    assert metadata[b"labels"] == b'["fiction", "news"]'
    assert pq.ParquetFile(out / "tokens" / "part-00000.parquet").metadata.row_group(0).column(3).compression == "ZSTD"


def test_readers_get_flat_arrays_of_a_split(tmp_path: Path) -> None:
    _, out = build(tmp_path, small())
    train = open_tokens(out, "train")
    texts = [document.text for document in DOCUMENTS if document.split == "train"]
    assert train.doc_ids == ["a1", "c1"]
    assert [train.label_names[label] for label in train.labels] == ["news", "fiction"]
    assert [encoder().decode(ids) for ids in train] == texts
    assert np.diff(train.offsets).tolist() == [len(ids) for ids in train]
    assert (train.vocabulary_size, train.label_names) == (500, ("fiction", "news"))

    none = open_tokens(out, "holdout")
    assert (len(none), none.tokens, none.offsets.tolist(), list(none.chunks())) == (0, 0, [0], [])


def test_a_split_is_read_chunk_by_chunk_for_any_row_groups(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(2, 300, length).astype(np.uint16) for length in rng.integers(1, 3000, 400)]
    splits = ["validation" if number % 10 == 0 else "train" for number in range(len(texts))]
    documents = [Document(f"{number:03}", "news", split=split) for number, split in enumerate(splits)]
    with PartWriter(
        tmp_path / "tokens", tokens_schema(300, "ab", ["news"]), part_bytes=2**20, row_group_bytes=2**16
    ) as writer:
        for start in range(0, len(texts), 64):
            writer.write(token_rows(writer.schema, documents[start : start + 64], texts[start : start + 64]))
    for split, min_chunks in (("train", 5), ("validation", 1)):
        tokenized = open_tokens(tmp_path, split)
        expected = [ids for ids, each in zip(texts, splits, strict=True) if each == split]
        assert [ids.tolist() for ids in tokenized] == [ids.tolist() for ids in expected]
        assert len(tokenized.bounds) - 1 >= min_chunks
        assert tokenized.tokens == sum(map(len, expected))
        for chunk in tokenized.chunks(reversed(range(len(tokenized.bounds) - 1))):
            documents_of = expected[chunk.first :][: len(list(chunk))]
            assert [ids.tolist() for ids in chunk] == [ids.tolist() for ids in documents_of]


def test_tokens_that_are_damaged_after_they_were_opened_are_named(tmp_path: Path) -> None:
    _, out = build(tmp_path, small())
    train, part = open_tokens(out, "train"), out / "tokens" / "part-00000.parquet"
    content = part.read_bytes()
    part.write_bytes(b"PAR1" + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    with pytest.raises(ArtifactError, match=r"part-00000\.parquet: not readable as Parquet .* run again"):
        list(train)


def test_lengths_that_do_not_fit_the_ids_are_named(tmp_path: Path) -> None:
    row = {"doc_id": "a", "label": "news", "split": "train", "token_ids": [7, 8], "length": 1}
    with PartWriter(tmp_path / "tokens", tokens_schema(300, "ab", ["news"])) as writer:
        writer.write([row])
    with pytest.raises(ArtifactError, match="row group 0 has 2 token ids, but the lengths sum to 1"):
        list(open_tokens(tmp_path, "train"))


def test_the_same_rows_however_the_input_is_cut(tmp_path: Path) -> None:
    written = []
    for name, part_bytes in (("whole", 2**20), ("parts", 1)):
        (tmp_path / name).mkdir()
        _, out = build(tmp_path / name, small(), part_bytes=part_bytes)
        written.append((out / "tokens" / "part-00000.parquet").read_bytes())
    assert written[0] == written[1]


def test_max_tokens_keeps_the_beginning(tmp_path: Path) -> None:
    _, out = build(tmp_path, small(), TokenizationSettings(max_tokens=5))
    tokens = pd.read_parquet(out / "tokens")
    assert tokens["length"].tolist() == [5, 5, 5, 5]
    assert DOCUMENTS[0].text.startswith(encoder().decode(tokens["token_ids"].iloc[0]))


def test_three_lines_of_pandas_read_it(tmp_path: Path) -> None:
    build(tmp_path, small())
    from tasks.vocabulary.schema import TOKENS
    from tasks.vocabulary.table import token_rows

    with PartWriter(tmp_path / "vocabulary" / "tokens", TOKENS) as table:
        table.write(token_rows(small(), np.zeros(500, np.int64)))

    tokens = pd.read_parquet(tmp_path / "out" / "tokens")
    vocabulary = pd.read_parquet(tmp_path / "vocabulary" / "tokens")
    text = b"".join(vocabulary["bytes"].iloc[tokens["token_ids"].iloc[0]]).decode()
    assert text == DOCUMENTS[0].text


def test_damaged_tokens_are_named(tmp_path: Path) -> None:
    row = {"doc_id": "a", "label": "poem", "split": "train", "token_ids": [7], "length": 1}
    with PartWriter(tmp_path / "unknown label" / "tokens", tokens_schema(300, "ab", ["news"])) as writer:
        writer.write([row])
    with pytest.raises(ArtifactError, match="label 'poem' is not in the metadata"):
        open_tokens(tmp_path / "unknown label", "train")

    with PartWriter(tmp_path / "bare" / "tokens", tokens_schema(300, "ab", ["poem"]).remove_metadata()) as writer:
        writer.write([row])
    with pytest.raises(ArtifactError, match="the schema's metadata lacks labels"):
        open_tokens(tmp_path / "bare", "train")


def test_a_damaged_vocabulary_stops_the_stage(tmp_path: Path) -> None:
    given_ = write_artifacts(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {}', encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"not a readable tokenizer.json \(JSONDecodeError"):
        tokenize.function(TokenizationSettings(), tmp_path, **given_._asdict(), vocabulary=tmp_path, scratch=tmp_path)
