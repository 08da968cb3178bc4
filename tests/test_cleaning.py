"""Cleaning: the form of texts, duplicates, and what the stage writes."""

import os
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.cleaning.digest import text_digest
from tasks.cleaning.duplicates import Duplicate, DuplicateFinder, band_count, shared_buckets, sign
from tasks.cleaning.normalize import normalize
from tasks.cleaning.schema import DOCUMENTS
from tasks.cleaning.settings import CleaningSettings, DuplicateSettings
from tasks.cleaning.shingles import Hashes, jaccard, shingles
from tasks.cleaning.task import clean
from tasks.cleaning.union_find import UnionFind
from tasks.extraction.document import TEXT_ROWS
from tasks.shared.parquet import PartWriter
from tasks.shared.store.artifacts import describe

ROOT = Path(__file__).parents[1]
COLUMNS = pa.schema([(name, pa.string()) for name in ("doc_id", "label", "source", "text", "given_split")])
OPTIONS = ("normalize_unicode", "remove_controls", "straighten_quotes", "collapse_whitespace")
# What breaks normalizers: decomposed accents, controls between them, every kind of space and quote.
MESSY = st.text(
    st.one_of(
        st.sampled_from(
            "eE\u0301\u0308\u0327 \t\n\r\x0b\x0c\x00\x07\x1c\x1f\x7f\x85\xa0\xad\u2000\u2028\u2029\u3000\ufeff"
        ),
        st.sampled_from("'\"‘’‚‛‹›“”„‟«».,a"),
        st.characters(codec="utf-8"),
    )
)


def some_words(seed: int, count: int = 300) -> list[str]:
    chosen = random.Random(seed)
    return [f"word{chosen.randrange(100_000)}" for _ in range(count)]


def changed(words: list[str], count: int) -> str:
    """The text with some words changed, far apart: of 300 words, 5 leave 0.904 of the shingles shared, 6 only 0.886."""
    places = {number * 15 + 7 for number in range(count)}
    return " ".join("other" if place in places else word for place, word in enumerate(words))


def find(texts: dict[str, str], **options) -> tuple[dict[str, Duplicate], UnionFind]:
    defaults = DuplicateSettings(**options).model_dump()
    policies = {name: defaults.pop(name) for name in ("exact", "near")}
    signed = sign([*texts.values()], **defaults)
    sets = [shingles(text, defaults["shingle_words"]) for text in texts.values()]
    duplicates = DuplicateFinder(
        shared_buckets(*signed.compared()), sets.__getitem__, **policies, threshold=defaults["threshold"]
    )
    added = {
        doc_id: duplicates.add(number, doc_id, bytes.fromhex(text_digest(text)))
        for number, (doc_id, text) in enumerate(texts.items())
    }
    return {doc_id: duplicate for doc_id, duplicate in added.items() if duplicate}, duplicates.groups


@pytest.fixture
def run(tmp_path):
    """Cleans texts given by doc_id; returns the summary and the two tables."""

    def cleaned(texts: dict[str, str], **settings) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
        for name in ("out", "scratch"):
            (tmp_path / name).mkdir()
        with PartWriter(tmp_path / "in" / "documents", COLUMNS) as writer:
            writer.write([{"doc_id": i, "label": "x", "source": f"{i}.txt", "text": t} for i, t in texts.items()])
        summary = clean.function(
            CleaningSettings(**settings), tmp_path / "out", documents=tmp_path / "in", scratch=tmp_path / "scratch"
        )
        tables = (pd.read_parquet(tmp_path / "out" / name).set_index("doc_id") for name in ("documents", "dropped"))
        return summary, *tables

    return cleaned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "café"),
        ("e\x00\u0301", "é"),
        ("a\x00b\x07c\x9fd", "abcd"),
        ("\ufeffThe end", "The end"),
        ("co\u00adoperate", "cooperate"),
        ("one\ttwo", "one two"),
        ("one\x1ftwo", "one two"),
        ("one\r\ntwo\rthree\x85four", "one two three four"),
        ("one\r\n \r\ntwo\u2029three", "one\n\ntwo\n\nthree"),
        ("one\n\n\n\n two  three\u00a0four\n\n", "one\n\ntwo three four"),
        ("“So,” he said, ‘it’s «here»’", '"So," he said, \'it\'s "here"\''),
        ("Unchanged: naïve — 1,000 €; ČAPEK.", "Unchanged: naïve — 1,000 €; ČAPEK."),
    ],
)
def test_normalized_texts(text, expected):
    assert normalize(text) == expected


def test_every_option_can_be_left_out():
    text = "e\u0301\x00 “a”  b\t\n\n\n"
    untouched = dict.fromkeys(OPTIONS, False)
    assert normalize(text, **untouched) == text
    assert normalize(text, **untouched | {"normalize_unicode": True}) == "é\x00 “a”  b\t\n\n\n"
    assert normalize(text, **untouched | {"remove_controls": True}) == "e\u0301 “a”  b \n\n\n"
    assert normalize(text, **untouched | {"straighten_quotes": True}) == 'e\u0301\x00 "a"  b\t\n\n\n'
    assert normalize(text, **untouched | {"collapse_whitespace": True}) == "e\u0301\x00 “a” b"


@given(MESSY)
def test_clean_text_holds_what_is_promised(text):
    once = normalize(text)
    assert unicodedata.is_normalized("NFC", once)
    assert not [character for character in once if unicodedata.category(character) == "Cc" and character != "\n"]
    assert not set(once) & set("‘’‚‛‹›“”„‟«»")
    assert once == once.strip()
    assert all(paragraph == " ".join(paragraph.split()) != "" for paragraph in once.split("\n\n") if once)


@given(MESSY, st.fixed_dictionaries({option: st.booleans() for option in OPTIONS}))
def test_cleaning_twice_changes_nothing_more(text, options):
    once = normalize(text, **options)
    assert normalize(once, **options) == once


@given(MESSY)
@example("\u0339 \u0334")
def test_nothing_but_whitespace_controls_and_quotes_is_lost(text):
    kept = unicodedata.normalize(
        "NFC", "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    )
    quotes = str.maketrans(dict.fromkeys("‘’‚‛‹›", "'") | dict.fromkeys("“”„‟«»", '"'))
    expected = "".join(c for c in kept.translate(quotes) if not c.isspace() and c not in "\xad\ufeff")
    normalized = "".join(normalize(text).split())  # marks either side of a space may change places once it is gone
    assert unicodedata.normalize("NFC", normalized) == unicodedata.normalize("NFC", expected)


@given(st.text(" \n\tab\u3000", max_size=60))
def test_a_long_paragraph_is_collapsed_in_pieces(text):
    whole = normalize(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.cleaning.normalize._PIECE_CHARACTERS", 5)
        assert normalize(text) == whole


@given(st.lists(st.sampled_from(["to", "be", "or", "Not", "é", "x1"])), st.integers(1, 4))
def test_shingles_are_the_distinct_word_sequences(words, size):
    lower = [word.lower() for word in words]
    size_here = min(size, len(lower))
    expected = {tuple(lower[i : i + size_here]) for i in range(len(lower) - size_here + 1)} if lower else set()
    hashes = shingles(" ".join(words), size)
    assert len(hashes) == len(expected)
    assert np.array_equal(hashes, np.unique(hashes))
    assert np.array_equal(hashes, shingles("..." + ",\n".join(words).upper(), size))


def test_a_text_longer_than_a_piece_is_hashed_alike(monkeypatch):
    text = " ".join(some_words(1))
    whole = shingles(text, 3)
    monkeypatch.setattr("tasks.cleaning.shingles._PIECE_BYTES", 50)
    assert np.array_equal(shingles(text, 3), whole)


def test_a_word_without_end_counts_as_words_that_do_not_depend_on_where_it_stands(monkeypatch):
    monkeypatch.setattr("tasks.cleaning.shingles._PIECE_BYTES", 50)
    endless = "".join(random.Random(3).choices("abcdefgh", k=170))
    (alone, *within) = [shingles(f"{before}{endless}", 1) for before in ("", "a, ", "some words " * 9, "-" * 49)]
    assert len(alone) == 4
    assert all(len(np.intersect1d(alone, found)) == 4 for found in within)


def test_jaccard():
    a, b = np.array([1, 2, 3], np.uint64), np.array([2, 3, 4], np.uint64)
    assert jaccard(a, b) == 0.5
    assert jaccard(a[:0], b[:0]) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_groups_are_connected_components(pairs):
    groups = UnionFind()
    neighbours = {node: {node} for node in range(10)}
    for a, b in pairs:
        groups.union(str(a), str(b))
        merged = neighbours[a] | neighbours[b]
        for node in merged:
            neighbours[node] = merged
    assert {node: groups.find(str(node)) for node in range(10)} == {n: str(min(c)) for n, c in neighbours.items()}


def test_exact_duplicates_name_the_first():
    texts = {"a": "the same words here", "b": "quite different words", "c": "the same words here"}
    dropped, _ = find(texts)
    assert dropped == {"c": Duplicate("a", 1.0, exact=True)}
    assert find(texts, exact="keep")[0] == {}
    kept, groups = find(texts, exact="group")
    assert not kept
    assert [groups.find(doc_id) for doc_id in "abc"] == ["a", "b", "a"]


def test_near_duplicates_are_joined_through_others():
    words = some_words(1)
    texts = {"a": changed(words, 0), "b": changed(words, 8), "c": " ".join(some_words(2))}
    assert find(texts)[1].find("b") == "b"
    dropped, groups = find({**texts, "d": changed(words, 4)})
    assert not dropped
    assert [groups.find(doc_id) for doc_id in "abcd"] == ["a", "a", "c", "a"]


def test_dropped_near_duplicates_name_the_nearest_that_was_kept():
    words = some_words(1)
    texts = {"a": changed(words, 8), "b": changed(words, 0), "c": changed(words, 3), "d": changed(words, 3)}
    dropped, groups = find(texts, near="drop")
    assert {doc_id: duplicate.original for doc_id, duplicate in dropped.items()} == {"c": "b", "d": "b"}
    assert dropped["c"].similarity == pytest.approx((298 - 3 * 3) / (298 + 3 * 3))
    assert groups.find("c") == "c"


@pytest.mark.parametrize(("count", "near"), [(5, True), (6, False)])
def test_the_threshold_is_held_exactly(count, near):
    words = some_words(1)
    dropped, groups = find({"a": " ".join(words), "b": changed(words, count)}, near="drop")
    assert bool(dropped) == near
    assert groups.find("b") == "b"


def test_candidates_are_verified(monkeypatch):
    """Bands of one number make a candidate of almost anything; none of these is near another."""
    monkeypatch.setattr("tasks.cleaning.duplicates.band_count", lambda permutations, threshold: permutations)
    words = some_words(1)
    assert find({str(count): changed(words, count) for count in (0, 6, 12, 18)}, near="drop")[0] == {}


def test_large_groups_are_found_by_their_first_members(monkeypatch):
    monkeypatch.setattr("tasks.cleaning.duplicates._MAX_INDEXED_PER_GROUP", 2)
    words = some_words(1)
    texts = {str(number): " ".join([*words[:-1], f"variant{number}"]) for number in range(9)}
    dropped, groups = find(texts)
    assert not dropped
    assert {groups.find(doc_id) for doc_id in texts} == {"0"}


def test_equal_texts_that_are_to_be_kept_are_not_dropped_as_near():
    text = " ".join(some_words(1))
    dropped, groups = find({"a": text, "b": text}, exact="keep", near="drop")
    assert not dropped
    assert groups.find("b") == "b"


def test_texts_without_words_are_compared_exactly_only():
    assert find({"a": "... !!!", "b": "??? ;;;"}, near="drop")[0] == {}


def test_nothing_to_sign_is_nothing_to_compare():
    nothing = sign([], shingle_words=3, permutations=128, seed=0, threshold=0.9)
    duplicates = DuplicateFinder(shared_buckets(*nothing.compared()), list[Hashes]().__getitem__, near="drop")
    assert nothing.bands.shape == (0, 16)
    assert duplicates.add(0, "a", b"") is None


@given(st.sampled_from([16, 64, 100, 128, 256]), st.floats(0.05, 1))
def test_bands_divide_and_find(permutations, threshold):
    count = band_count(permutations, threshold)
    rows = permutations // count
    assert permutations % count == 0
    assert count == permutations or 1 - (1 - threshold**rows) ** count >= 0.999


def test_the_same_in_every_process():
    code = (
        "import random; from tasks.cleaning.duplicates import DuplicateFinder, shared_buckets, sign\n"
        "from tasks.cleaning.shingles import shingles\n"
        "texts = []\n"
        "for i in range(40):\n"
        "    r = random.Random(i // 4); w = [str(r.randrange(9999)) for _ in range(200)]; w[i % 4 * 9] = 'x'\n"
        "    texts.append(' '.join(w))\n"
        "signed = sign(texts, shingle_words=3, permutations=128, seed=0, threshold=0.9)\n"
        "d = DuplicateFinder(shared_buckets(*signed.compared()), lambda i: shingles(texts[i], 3), near='drop')\n"
        "for i in range(40):\n"
        "    print(i, d.add(i, str(i), bytes([i])))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert b"similarity" in outputs.pop()


def test_the_stage_names_every_reason_and_loses_nothing(run):
    words = some_words(1)
    texts = {
        "a": "  " + " ".join(words),
        "b": " \x00 ",
        "c": "Too short.",
        "d": " ".join(words) + "\n",
        "e": changed(words, 2),
        "f": " ".join(some_words(2)),
    }
    summary, documents, dropped = run(texts, duplicates={"near": "drop"})
    reasons = {"b": "empty", "c": "too_short", "d": "exact_duplicate", "e": "near_duplicate"}
    assert dropped["reason"].to_dict() == reasons
    assert dropped["text"].to_dict() == {doc_id: texts[doc_id] for doc_id in reasons}
    assert "10 characters" in dropped.loc["c", "detail"]
    assert "same text as a" in dropped.loc["d", "detail"]
    assert "similarity 0.9" in dropped.loc["e", "detail"]
    assert documents["text"].to_dict() == {"a": " ".join(words), "f": texts["f"]}
    assert documents["group"].to_dict() == {"a": "a", "f": "f"}
    assert documents.loc["a", "source"] == "a.txt"
    assert summary == {"rows": 2, "grouped": 0, "dropped": dict.fromkeys(sorted(reasons.values()), 1)}


def test_the_stage_groups_near_duplicates(run):
    words = some_words(1)
    summary, documents, dropped = run({"a": " ".join(words), "b": " ".join(some_words(2)), "c": changed(words, 2)})
    assert documents["group"].to_dict() == {"a": "a", "b": "b", "c": "a"}
    assert dropped.empty
    assert summary == {"rows": 3, "grouped": 1, "dropped": {}}


def test_the_stage_writes_the_same_bytes_again(run, tmp_path):
    texts = {f"{i:02}": changed(some_words(i // 2), i % 2) for i in range(20)}
    run(texts)
    for place in ("again", "scratch2"):
        (tmp_path / place).mkdir()
    clean.function(CleaningSettings(), tmp_path / "again", documents=tmp_path / "in", scratch=tmp_path / "scratch2")
    written = [sorted((tmp_path / place).rglob("*.parquet")) for place in ("out", "again")]
    assert [path.read_bytes() for path in written[0]] == [path.read_bytes() for path in written[1]]
    assert len(written[0]) == 3


@pytest.mark.parametrize("wrong", [{"threshold": 0}, {"threshold": 1.5}, {"near": "remove"}, {"shingle_words": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        DuplicateSettings(**wrong)


def test_documents_that_wait_for_their_group_are_written_as_if_groups_were_known_at_once(tmp_path):
    texts = {f"d{n:04d}": " ".join(some_words(n, 40)) + "  “so”\n" for n in range(600)}
    texts |= {f"e{n:04d}": texts[f"d{n:04d}"].upper() for n in range(0, 600, 7)}  # the same words: near duplicates
    rows = [{"doc_id": i, "label": "x", "source": i, "text": t, "given_split": None} for i, t in sorted(texts.items())]
    with PartWriter(tmp_path / "in" / "documents", COLUMNS) as writer:
        writer.write(rows)
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    places = {"documents": tmp_path / "in", "scratch": tmp_path / "scratch"}
    summary = clean.function(CleaningSettings(), tmp_path / "out", **places)

    _, groups = find({row["doc_id"]: normalize(row["text"]) for row in rows})
    with PartWriter(tmp_path / "expected" / "documents", DOCUMENTS) as writer:
        for start in range(0, len(rows), TEXT_ROWS):
            cleaned = [row | {"text": normalize(row["text"])} for row in rows[start : start + TEXT_ROWS]]
            digests = [{"group": groups.find(row["doc_id"]), "digest": text_digest(row["text"])} for row in cleaned]
            writer.write([row | more for row, more in zip(cleaned, digests, strict=True)])
    assert summary["grouped"] == 86
    assert (
        describe(tmp_path / "out")["documents/part-00000.parquet"]
        == describe(tmp_path / "expected")["documents/part-00000.parquet"]
    )
    assert not (tmp_path / "scratch").exists()
