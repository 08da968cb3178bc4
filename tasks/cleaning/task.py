"""The cleaning stage: documents in; cleaned documents and dropped documents out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.conflicts import LabelConflicts, describe, examples
from tasks.cleaning.digest import text_digest
from tasks.cleaning.dropped import dropped_by
from tasks.cleaning.duplicates import Duplicate, DuplicateFinder
from tasks.cleaning.labels import LabelCleaner
from tasks.cleaning.length import has_text, text_length
from tasks.cleaning.normalize import normalize
from tasks.cleaning.schema import (
    CONFLICTS,
    CONFLICTS_DATASET,
    DOCUMENTS,
    DROPPED,
    DROPPED_DATASET,
    FOLDER,
    Reason,
)
from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.ungrouped import UngroupedDocuments
from tasks.extraction.document import Document, in_batches, read_documents
from tasks.extraction.schema import DATASET
from tasks.extraction.schema import DOCUMENTS as EXTRACTED
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.shared.progress import logger, progress

if TYPE_CHECKING:
    from pydantic import JsonValue


class Rejection(NamedTuple):
    """Why a document is dropped."""

    reason: Reason
    detail: str


Conflicts = dict[str, dict[str, str]]
"""The documents of each text with more than one label (doc_id → label), by the text's digest."""


@stage("cleaning", folder=FOLDER, libraries=("pyarrow", "numpy", "rensa"))
def clean(settings: CleaningSettings, out: Path, *, documents: Path, scratch: Path) -> dict[str, JsonValue]:
    """Reads and cleans the documents once; the kept ones wait in a file until their groups are final.

    With `conflicting_labels: drop_both` a pass before that finds the conflicts: the first document of a text is dropped
    too. Raises CorpusError for a label that is empty once cleaned, and for conflicting labels if the settings say so.
    """
    reasons, labels = Counter[str](), LabelCleaner()
    with TemporaryFile(dir=scratch) as shingles, TemporaryFile(dir=scratch) as texts:
        judge, ungrouped = Judge(settings, shingles), UngroupedDocuments(texts)
        if settings.conflicting_labels == "drop_both":
            for document in _extracted(documents, LabelCleaner()):
                judge.look_for_conflicts(document, normalize(document.text, **settings.normalization()))
        with PartWriter(out / DROPPED_DATASET, DROPPED) as dropped:
            for batch in in_batches(progress(_extracted(documents, labels), "cleaning", "documents")):
                kept_rows, dropped_rows = [], []
                for document in batch:
                    text = normalize(document.text, **settings.normalization())
                    rejection = judge.reject(document, text)
                    if rejection is None:
                        kept_rows.append(document._replace(text=text, digest=text_digest(text)))
                    else:
                        reasons[rejection.reason] += 1
                        dropped_rows.append({**document._asdict(), **rejection._asdict()})
                ungrouped.write(kept_rows)
                dropped.write(dropped_rows)
        found = judge.conflicts.find()
        sources = _sources(documents, found)
        conflicts = _judge_conflicts(found, sources, settings)
        rows, grouped = _write_kept(ungrouped.read(judge.duplicates.groups), out / DATASET)
    _write_conflicts(found, sources, out / CONFLICTS_DATASET)
    logger("cleaning").info("cleaning: %d kept, dropped: %s", rows, dropped_by(reasons))
    for warning in labels.warnings():
        logger("cleaning").warning("cleaning: %s", warning)
    return {
        "rows": rows,
        "grouped": grouped,
        "dropped": dict(sorted(reasons.items())),
        **conflicts,
        **labels.summary(),
    }


class Judge:
    """Decides, one document after another, which ones are dropped."""

    def __init__(self, settings: CleaningSettings, spill: BinaryIO) -> None:
        """`spill` is that of `DuplicateFinder`."""
        self._settings = settings
        self.conflicts = LabelConflicts()
        self.duplicates = DuplicateFinder(spill, **settings.duplicates.model_dump())

    def look_for_conflicts(self, document: Document, text: str) -> None:
        """Notes the label of a cleaned text that is long enough."""
        if _too_short(text, self._settings.min_characters) is None:
            self.conflicts.add(text_digest(text), document.doc_id, document.label)

    def reject(self, document: Document, text: str) -> Rejection | None:
        """Why a document with this cleaned text is dropped; None if it is kept."""
        if (short := _too_short(text, self._settings.min_characters)) is not None:
            return short
        digest = text_digest(text)
        self.conflicts.add(digest, document.doc_id, document.label)
        other = self.conflicts.other(digest, document.label)
        if other is not None and self._settings.conflicting_labels == "drop_both":
            return Rejection("conflicting_labels", f"same text as {other[0]}, which has the label {other[1]!r}")
        duplicate = self.duplicates.add(document.doc_id, text)
        return None if duplicate is None else _repeated(duplicate, other)


def _extracted(documents: Path, labels: LabelCleaner) -> Iterator[Document]:
    """The extracted documents with cleaned labels."""
    for document in read_documents(documents, EXTRACTED.names):
        label = labels.clean(document.label)
        if not label:
            raise CorpusError(
                f"{document.source}: the label {document.label!r} has no visible character; label it, or remove it"
            )
        yield document._replace(label=label)


def _sources(documents: Path, conflicts: Conflicts) -> dict[str, str]:
    """The sources of the documents of these texts, by doc_id: people find a row by its number, not by a hash."""
    wanted = {doc_id for of_text in conflicts.values() for doc_id in of_text}
    rows = read_documents(documents, ("doc_id", "source")) if wanted else ()
    return {document.doc_id: document.source for document in rows if document.doc_id in wanted}


def _judge_conflicts(conflicts: Conflicts, sources: dict[str, str], settings: CleaningSettings) -> dict[str, JsonValue]:
    """Warns of texts with more than one label, or stops; returns their number and examples for the summary."""
    if not conflicts:
        return {}
    found = {
        digest: {sources[doc_id]: label for doc_id, label in of_text.items()} for digest, of_text in conflicts.items()
    }
    policy = settings.conflicting_labels
    if policy == "fail":
        raise CorpusError(
            f"{describe(found)}; correct the labels, or set cleaning.conflicting_labels to warn or drop_both"
        )
    if policy == "drop_both":
        outcome = "none of their documents is kept"
    elif settings.duplicates.exact == "drop":
        outcome = "the first document of each is kept"
    else:
        outcome = "all of their documents are kept"
    logger("cleaning").warning("cleaning: %s; %s (cleaning.conflicting_labels: %s)", describe(found), outcome, policy)
    return {"conflicting_labels": len(found), "conflicts": dict(examples(found))}


def _write_kept(batches: Iterable[pa.RecordBatch], folder: Path) -> tuple[int, int]:
    """Writes the kept documents; returns their number, and that of those in the group of another one."""
    grouped = 0
    with PartWriter(folder, DOCUMENTS) as writer:
        for batch in batches:
            grouped += pc.sum(pc.not_equal(batch["group"], batch["doc_id"])).as_py() or 0
            writer.write(batch)
    return writer.rows, grouped


def _write_conflicts(conflicts: Conflicts, sources: dict[str, str], folder: Path) -> None:
    with PartWriter(folder, CONFLICTS) as writer:
        for digest, of_text in conflicts.items():
            rows = ((doc_id, label, sources[doc_id]) for doc_id, label in of_text.items())
            writer.write([dict(zip(CONFLICTS.names, (digest, *row), strict=True)) for row in rows])


def _too_short(text: str, min_characters: int) -> Rejection | None:
    if not has_text(text):
        return Rejection("empty", "no text left once cleaned" + (", only invisible characters" if text.strip() else ""))
    if len(text) < min_characters and (length := text_length(text)) < min_characters:
        return Rejection("too_short", f"{length} characters once cleaned, cleaning.min_characters is {min_characters}")
    return None


def _repeated(duplicate: Duplicate, other: tuple[str, str] | None) -> Rejection:
    """`other`: a document of the same text under another label, and that label."""
    under = "" if other is None else f"; {other[0]} has this text under the label {other[1]!r}"
    if duplicate.exact:
        return Rejection("exact_duplicate", f"same text as {duplicate.original}, similarity 1.000{under}")
    return Rejection(
        "near_duplicate", f"nearly the text of {duplicate.original}, similarity {duplicate.similarity:.3f}{under}"
    )
