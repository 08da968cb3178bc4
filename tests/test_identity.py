"""A text is what it says: renamed labels and files, and tables exported again, move no text and hide no known one."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cleaning.digest import read_digests, text_digest
from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.task import clean
from tasks.extraction.document import Document, document_rows
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract
from tasks.promotion.unseen import find_new, find_new_labels
from tasks.shared.parquet import PartWriter
from tasks.splitting.earlier import find_earlier, read_splits_with_digests
from tasks.splitting.rows import NONE
from tasks.splitting.schema import SPLITS, SPLITS_SCHEMA
from tasks.splitting.settings import FoldSettings, SplittingLimits, SplittingSettings
from tasks.splitting.task import split

TOPICS = {
    "sport": "goal match referee league pitch tackle coach trophy".split(),
    "food": "onion oven recipe flour garlic basil dough kettle".split(),
    "law": "court judge appeal verdict clause witness contract jury".split(),
}
COMMON = "the a of and to in was for with that it on as at by from".split()
FOLDS = SplittingSettings(fold=FoldSettings(count=5, index=1))


def texts(count: int = 90) -> list[tuple[str, str]]:
    """Labels and texts, a different one each."""
    rng, labels = random.Random(1), list(TOPICS)
    words = [[rng.choice(TOPICS[labels[n % 3]] + COMMON) for _ in range(40)] for n in range(count)]
    return [(labels[n % 3], " ".join(each)) for n, each in enumerate(words)]


class Project:
    """Runs the stages up to splitting, one run after another, as the engine would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = 0
        self.previous: Path | None = None

    def stage(self, folder: str) -> Path:
        place = self.root / folder / f"run{self.runs}"
        place.mkdir(parents=True)
        return place

    def clean(self, extraction: ExtractionSettings) -> Path:
        self.runs += 1
        documents, cleaned = self.stage("01_documents"), self.stage("02_cleaned")
        extract.function(extraction, documents)
        clean.function(CleaningSettings(), cleaned, documents=documents, scratch=self.stage("scratch"))
        return cleaned

    def split(self, cleaned: Path, settings: SplittingSettings | None = None) -> pd.DataFrame:
        """The splits of the texts, by their first 40 characters."""
        chosen, out = settings or SplittingSettings(), self.stage("03_splits")
        if self.previous is not None and chosen.fold is None:
            assert split.continues(chosen, self.previous, {"cleaned": cleaned})
            summary = split.function(chosen, out, cleaned=cleaned, previous=self.previous)
            assert summary["moved"] == 0
        else:
            split.function(chosen, out, cleaned=cleaned)
        self.previous = out if chosen.fold is None else self.previous
        rows = pd.read_parquet(cleaned / "documents").merge(pd.read_parquet(out / "splits"), on=["doc_id", "digest"])
        return rows.set_index("text")["split"].sort_index()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "data")


def write_folder(root: Path, files: Iterable[tuple[str, str]]) -> ExtractionSettings:
    for name, text in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return ExtractionSettings(source="folder", folder={"path": root})


def write_csv(path: Path, rows: Iterable[tuple[str, str]]) -> ExtractionSettings:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "text"), *rows])
    return ExtractionSettings(source="table", table={"path": path})


def named(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"{label}/{number:03d}.txt", text) for number, (label, text) in enumerate(rows)]


def test_a_renamed_label_moves_no_text_and_hides_no_known_one(project: Project, tmp_path: Path):
    settings = write_folder(tmp_path / "texts", named(texts()))
    before, champion = project.split(project.clean(settings)), project.previous
    (tmp_path / "texts" / "law").rename(tmp_path / "texts" / "legal")
    after = project.split(project.clean(settings))
    assert after.equals(before)
    new = find_new(read_splits_with_digests(project.previous), read_splits_with_digests(champion))
    tested = pd.read_parquet(project.previous / "splits").query("split == 'test'")
    assert new == sorted(tested["doc_id"])  # the champion did not learn from them either
    assert find_new_labels(project.previous, champion) == ["legal"]
    assert find_new_labels(champion, champion) == []


def test_a_label_renamed_with_another_seed_counts_no_learned_text_as_new(project: Project, tmp_path: Path):
    settings = write_folder(tmp_path / "texts", named(texts()))
    before, champion = project.split(project.clean(settings)), project.previous
    (tmp_path / "texts" / "law").rename(tmp_path / "texts" / "legal")
    project.previous = None
    cleaned = project.clean(settings)
    project.split(cleaned, SplittingSettings(seed=1))
    new = find_new(read_splits_with_digests(project.previous), read_splits_with_digests(champion))
    text_of = pd.read_parquet(cleaned / "documents").set_index("doc_id")["text"]
    assert set(before[text_of[new]]) <= {"test"}
    tested = pd.read_parquet(project.previous / "splits").query("split == 'test'")["doc_id"]
    assert len(new) == sum(before[text_of[doc_id]] == "test" for doc_id in tested) < len(tested)


@pytest.mark.parametrize(
    "write_again",
    [
        lambda text: text.replace(" the ", "\r\n\r\nthe ", 1),
        lambda text: text.replace(" the ", "\n \n\nthe ", 1) + "\n",
        lambda text: "\ufeff" + text.replace(" the ", "\u2029the ", 1),
    ],
)
def test_a_table_exported_again_moves_no_text(project: Project, tmp_path: Path, write_again):
    rows = [(label, text.replace(" the ", "\n\nthe ", 1)) for label, text in texts()]
    before = project.split(project.clean(write_csv(tmp_path / "t.csv", rows)))
    again = [(label, write_again(text)) for label, text in texts()]
    after = project.split(project.clean(write_csv(tmp_path / "again.csv", again)))
    assert after.equals(before)


def test_files_renamed_shuffled_or_turned_into_a_table_keep_their_splits(project: Project, tmp_path: Path):
    rows = texts()
    before = project.split(project.clean(write_folder(tmp_path / "texts", named(rows))))
    shuffled = random.Random(0).sample(rows, len(rows))  # every name now has another text
    assert project.split(project.clean(write_folder(tmp_path / "again", named(shuffled)))).equals(before)
    assert project.split(project.clean(write_csv(tmp_path / "t.csv", shuffled))).equals(before)


def test_corrected_labels_move_no_text_and_stop_no_run(project: Project, tmp_path: Path):
    from tasks.shared.checks.runner import run_contract
    from tasks.splitting import contract

    rows = texts(120)
    before = project.split(project.clean(write_csv(tmp_path / "t.csv", rows)))
    first = project.previous
    wrong = {text for label, text in rows if label == "food" and before[text] == "train"}
    kept = set(sorted(wrong)[:6])
    corrected = [("law" if text in wrong - kept else label, text) for label, text in rows]
    cleaned = project.clean(write_csv(tmp_path / "t.csv", corrected))
    after = project.split(cleaned)
    assert after.equals(before)

    def problems(**inputs: Path) -> set[str]:
        found = run_contract(
            contract, project.previous, inputs | {"cleaned": cleaned}, SplittingSettings(), SplittingLimits()
        )
        return {result.severity for result in found if not result.success}

    assert problems(previous=first) == {"warning"}
    assert problems() == {"critical"}


def test_new_texts_join_and_an_edited_one_stays(project: Project, tmp_path: Path):
    rows = texts(96)
    settings = write_folder(tmp_path / "texts", named(rows[:90]))
    before = project.split(project.clean(settings))
    name, text = named(rows[:90])[7]
    edited = "Corrected: " + " ".join(random.Random(5).choices(COMMON, k=40))
    after = project.split(project.clean(write_folder(tmp_path / "texts", [*named(rows)[90:], (name, edited)])))
    assert after[edited] == before[text]
    assert after[before.index.drop(text)].equals(before.drop(text))
    assert len(after) == 96


@pytest.mark.parametrize("settings", [FOLDS, FOLDS.model_copy(update={"small_labels": "drop"})])
@pytest.mark.parametrize("near_duplicates", [False, True])
def test_folds_depend_on_the_texts_alone(project: Project, tmp_path: Path, settings, near_duplicates):
    rows = texts()
    if near_duplicates:
        rows += [(label, f"{text} {text} again") for label, text in rows[:9]]
        rows += [(label, f"{text} {text} once again") for label, text in rows[:9]]
    before = project.split(project.clean(write_folder(tmp_path / "texts", named(rows))), settings)
    renamed = [({"law": "a law", "sport": "zzz"}.get(label, label), text) for label, text in rows]
    shuffled = random.Random(0).sample(renamed, len(rows))
    after = project.split(project.clean(write_folder(tmp_path / "again", named(shuffled))), settings)
    assert after.equals(before)
    other = FOLDS.model_copy(update={"seed": 1})
    assert not project.split(project.clean(write_csv(tmp_path / "t.csv", rows)), other).equals(before)


OLD_SPLITS = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("doc_id", "label", "group", "split")])


def as_version_0_1(splits: Path, cleaned: Path) -> None:
    """Takes the digests out of both artifacts."""
    for place in (splits / "splits", cleaned / "documents"):
        (part,) = place.iterdir()
        pq.write_table(pq.read_table(part).drop_columns("digest"), part)
    lineage = {"cleaning": {"fingerprint": cleaned.name, "settings": {}}}
    (splits / "artifact.json").write_text(json.dumps({"lineage": lineage}))


def test_splits_without_digests_are_continued_through_their_cleaned_texts(project: Project, tmp_path: Path):
    settings = write_folder(tmp_path / "texts", named(texts()))
    cleaned = project.clean(settings)
    digests = list(read_digests(cleaned))
    before, first = project.split(cleaned), project.previous
    as_version_0_1(first, cleaned)
    assert list(read_digests(cleaned)) == digests
    (tmp_path / "texts" / "law").rename(tmp_path / "texts" / "legal")
    assert project.split(project.clean(settings)).equals(before)
    known = read_splits_with_digests(first)
    tested = pd.read_parquet(project.previous / "splits").query("split == 'test'")["doc_id"]
    assert find_new(read_splits_with_digests(project.previous), known) == sorted(tested)


@pytest.mark.parametrize("damage", ["no cleaned artifact", "no manifest", "another manifest"])
def test_or_by_their_ids_if_those_are_gone(project: Project, tmp_path: Path, damage: str):
    settings = write_folder(tmp_path / "texts", named(texts()))
    cleaned = project.clean(settings)
    before, first = project.split(cleaned), project.previous
    as_version_0_1(first, cleaned)
    if damage == "no cleaned artifact":
        (cleaned / "documents" / "part-00000.parquet").unlink()
    elif damage == "no manifest":
        (first / "artifact.json").unlink()
    else:
        (first / "artifact.json").write_text("[]")
    assert set(read_splits_with_digests(first)["digest"].to_pylist()) == {""}
    assert project.split(project.clean(settings)).equals(before)


def test_a_text_that_is_there_twice_continues_its_own_id_or_else_the_training_split():
    earlier = [
        Document("a", split="test", digest="1"),
        Document("b", split="train", digest="1"),
        Document("c", split="test", digest="2"),
    ]
    today = [Document(name, digest="1") for name in "abx"] + [Document("y", digest="3"), Document("c", digest="3")]
    assert earlier_splits(today, earlier) == {"a": "test", "b": "train", "x": "train", "c": "test"}


def earlier_splits(today: list[Document], earlier: list[Document], rows: int = 1024) -> dict[str, str]:
    """The split that each of today's documents had, by its id; `rows` are read at a time."""
    before, now = (pa.Table.from_batches([document_rows(sorted(each), SPLITS_SCHEMA)]) for each in (earlier, today))
    before, now = (pa.Table.from_batches(each.to_batches(rows), SPLITS_SCHEMA) for each in (before, now))
    found = zip(now["doc_id"].to_pylist(), find_earlier(now, before), strict=True)
    return {doc_id: SPLITS[number] for doc_id, number in found if number != NONE}


@st.composite
def documents(draw: st.DrawFn) -> list[Document]:
    ids = draw(st.sets(st.sampled_from("abcdefghij")))
    digests = st.sampled_from(["", *"1234", *(text_digest(text) for text in "123")])
    return [Document(doc_id, split=draw(st.sampled_from(SPLITS)), digest=draw(digests)) for doc_id in sorted(ids)]


@given(documents(), documents(), st.integers(1, 4))
def test_earlier_documents_are_found_by_the_rule(today, earlier, rows):
    expected = {}
    for document in today:
        same_text = [other for other in earlier if other.digest and other.digest == document.digest]
        same_id = [other for other in earlier if other.doc_id == document.doc_id]
        if same_text:
            found = min(same_text, key=lambda other: (other not in same_id, SPLITS.index(other.split)))
            expected[document.doc_id] = found.split
        elif same_id and not (same_id[0].digest and any(other.digest == same_id[0].digest for other in today)):
            expected[document.doc_id] = same_id[0].split
    assert earlier_splits(today, earlier, rows) == expected


def test_the_digest_is_of_the_cleaned_text(tmp_path: Path):
    assert text_digest("a") == "27c35e6e9373877f29e562464e46497e"
    with PartWriter(tmp_path / "documents", pa.schema([("doc_id", pa.string()), ("text", pa.string())])) as writer:
        writer.write([{"doc_id": "1", "text": "a"}])
    assert [(document.doc_id, document.digest) for document in read_digests(tmp_path)] == [("1", text_digest("a"))]
