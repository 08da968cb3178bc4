"""`vocabulary.keep: champion`: when the champion's vocabulary is kept, when it is learned anew, and why."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from conftest import Pipeline, write_corpus
from hypothesis import given
from hypothesis import strategies as st
from token_corpus import document, write_artifacts

from tasks.shared.errors import ArtifactError
from tasks.shared.store.artifacts import describe, read_manifest
from tasks.vocabulary.bpe import learn_merges
from tasks.vocabulary.champion import token_counts
from tasks.vocabulary.count import count_pieces
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary
from tasks.vocabulary.tokenizer import Encoder
from tasks.vocabulary.tokenizer_file import Vocabulary

KEEP = {"size": 400, "keep": "champion"}


def texts_of(stems: str, number: int, seed: int) -> list[str]:
    random, words = Random(seed), [f"{stem}{ending}" for stem in stems.split() for ending in "abcdef"]
    return [" ".join(random.choice(words) for _ in range(30)) for _ in range(number)]


def learn(folder: Path, texts: list[str], champion: Path | None = None, **settings: Any) -> dict[str, Any]:
    inputs = write_artifacts(folder, [document(f"{n:03d}", "x", "train", text) for n, text in enumerate(texts)])
    out = folder / "out"
    out.mkdir()
    chosen = {"champion_vocabulary": champion} if champion else {}
    return learn_vocabulary.function(
        VocabularySettings(**settings), out, **inputs._asdict(), scratch=folder / "scratch", **chosen
    )


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    learn(tmp_path / "champion", texts_of("river stone cloud", 40, 0), **KEEP)
    return tmp_path / "champion/out"


def test_it_is_kept_byte_for_byte_while_it_suits_the_texts(
    champion: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = texts_of("river stone cloud", 41, 1)
    with caplog.at_level(logging.INFO, "corpusflow"):
        summary = learn(tmp_path / "now", texts, champion, **KEEP, max_fertility_rise=0.05, max_rare_rise=0.05)
    assert describe(tmp_path / "now/out") == describe(champion)
    assert summary["kept"] == "the champion's vocabulary"
    assert abs(summary["fertility_rise"]) < 0.05
    assert "the champion's is kept, it suits the training texts: tokens per byte " in caplog.text
    learn(tmp_path / "anew", texts, champion, size=400)  # keep: never
    assert describe(tmp_path / "anew/out") != describe(champion)


def test_other_words_have_it_learned_anew(champion: Path, tmp_path: Path) -> None:
    texts = texts_of("river stone cloud zyzzyva quixotic", 40, 2)
    summary = learn(tmp_path / "now", texts, champion, **KEEP)
    assert summary["fertility_rise"] > 0.01
    assert summary["learned_anew_because"].startswith("tokens per byte rose by ")
    assert "vocabulary.max_fertility_rise is 1.0%; the share of rare tokens rose by" in summary["learned_anew_because"]
    learn(tmp_path / "anew", texts, size=400)
    assert describe(tmp_path / "now/out") == describe(tmp_path / "anew/out")


KINDS = [
    "a",
    "ab",
    "it's",
    "'s",
    "'",
    "1",
    "é" * 65,
    "#" * 70,
    " ",
    "  ",
    "\n",
    "\n\n",
    "\n" * 65,
    "\t\u3000",
    "\x00",
    "—",
]


@given(st.lists(st.sampled_from(KINDS), max_size=20), st.lists(st.sampled_from(KINDS), max_size=20))
def test_tokens_of_pieces_are_counted_as_if_each_were_encoded(learned: list[str], present: list[str]) -> None:
    counted = count_pieces(["".join(present)])
    pieces, times = [piece.encode() for piece in counted], np.array([*counted.values()], np.int64)
    encoder = Encoder(Vocabulary(tuple(learn_merges(["".join(learned)], 290))))
    expected = np.zeros(encoder.size, np.int64)
    for piece, often in counted.items():
        np.add.at(expected, encoder.encode_one(piece), often)
    assert token_counts(encoder, pieces, times).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"size": 500}, "vocabulary.size or vocabulary.min_count changed"),
        ({"min_count": 3}, "vocabulary.size or vocabulary.min_count changed"),
    ],
)
def test_other_settings_have_it_learned_anew(champion: Path, tmp_path: Path, changed: dict[str, int], why: str) -> None:
    summary = learn(tmp_path / "now", texts_of("river stone cloud", 40, 0), champion, **KEEP | changed)
    assert summary["learned_anew_because"] == why


def test_far_more_texts_have_it_learned_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.vocabulary.bpe.MIN_SIZE", 100)
    learn(tmp_path / "champion", texts_of("river stone", 100, 0), keep="champion")
    summary = learn(tmp_path / "now", texts_of("river stone", 150, 0), tmp_path / "champion/out", keep="champion")
    assert summary["learned_anew_because"] == (
        "for so many training texts it has 600 tokens, the champion's was to have 400"
    )


def test_one_of_an_earlier_version_or_a_damaged_one(champion: Path, tmp_path: Path) -> None:
    (champion / "learned.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"learned.json: damaged .*; delete its folder and run again"):
        learn(tmp_path / "now", texts_of("river", 4, 0), champion, **KEEP)
    (champion / "learned.json").unlink()
    summary = learn(tmp_path / "later", texts_of("river stone cloud", 40, 0), champion, **KEEP)
    assert summary["learned_anew_because"] == "an earlier version of corpusflow learned the champion's"


def test_the_bounds_are_part_of_the_fingerprint_only_if_they_are_read() -> None:
    assert "max_rare_rise" not in VocabularySettings(max_rare_rise=0.1).cache_values()
    assert "max_rare_rise" in VocabularySettings(keep="champion").cache_values()


@pytest.mark.slow
def test_more_texts_encode_only_their_part_if_the_champions_vocabulary_is_kept(pipeline: Pipeline) -> None:
    pipeline.configure(vocabulary={"keep": "champion", "size": 300, "max_fertility_rise": 1, "max_rare_rise": 1})
    pipeline.statuses()
    assert "kept" not in read_manifest(pipeline.stage_path("vocabulary")).summary
    before = describe(pipeline.stage_path("vocabulary"))
    write_corpus(pipeline.texts, documents=25)
    statuses = pipeline.statuses()
    assert statuses["vocabulary"] == "built"
    assert describe(pipeline.stage_path("vocabulary")) == before
    assert read_manifest(pipeline.stage_path("vocabulary")).summary["kept"] == "the champion's vocabulary"
    shown = {stage["stage"]: stage for stage in pipeline("why", "--json").json["stages"]}
    assert shown["cleaning"]["parts"].endswith("kept")
    assert "parts made" in pipeline("why", "tokenization").out
    assert set(pipeline.statuses().values()) == {"reused"}
