"""The cleaning stage: documents in; cleaned documents and dropped documents out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
from tasks.cleaning.union_find import UnionFind
from tasks.extraction.document import Document, read_documents
from tasks.extraction.schema import DATASET
from tasks.extraction.schema import DOCUMENTS as EXTRACTED
from tasks.shared.batched import batched
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.shared.progress import logger, progress

if TYPE_CHECKING:
    from pydantic import JsonValue


BATCH_ROWS = 256
"""Documents in memory at a time."""


class Rejection(NamedTuple):
    """Why a document is dropped."""

    reason: Reason
    detail: str


Conflicts = dict[str, dict[str, str]]
"""The documents of each text with more than one label (doc_id → label), by the text's digest."""


class Decisions(NamedTuple):
    """What the first pass finds out about the documents, by doc_id."""

    rejections: dict[str, Rejection]
    groups: UnionFind
    conflicts: Conflicts


@stage("cleaning", folder=FOLDER, libraries=("pyarrow", "numpy", "rensa"))
def clean(settings: CleaningSettings, out: Path, *, documents: Path, scratch: Path) -> dict[str, JsonValue]:
    """Reads the documents twice: the first pass decides, the second writes.

    A document's group is final only after the last document, and cleaning a text again costs less than storing it.
    Raises CorpusError for a label that is empty once cleaned, and for conflicting labels if the settings say so.
    """
    decided = _decide(settings, documents, scratch / "shingles")
    sources = _sources(documents, decided.conflicts)
    conflicts = _judge_conflicts(decided.conflicts, sources, settings)
    grouped, reasons, labels = 0, Counter[str](), LabelCleaner()
    with PartWriter(out / DATASET, DOCUMENTS) as kept, PartWriter(out / DROPPED_DATASET, DROPPED) as dropped:
        for batch in batched(_extracted(documents, labels), BATCH_ROWS):
            kept_rows, dropped_rows = [], []
            for document in batch:
                rejection = decided.rejections.get(document.doc_id)
                if rejection is None:
                    text, group = (
                        normalize(document.text, **settings.normalization()),
                        decided.groups.find(document.doc_id),
                    )
                    grouped += group != document.doc_id
                    kept_rows.append(document._replace(text=text, group=group, digest=text_digest(text))._asdict())
                else:
                    reasons[rejection.reason] += 1
                    dropped_rows.append({**document._asdict(), **rejection._asdict()})
            kept.write(kept_rows)
            dropped.write(dropped_rows)
    _write_conflicts(decided.conflicts, sources, out / CONFLICTS_DATASET)
    logger("cleaning").info("cleaning: %d kept, dropped: %s", kept.rows, dropped_by(reasons))
    for warning in labels.warnings():
        logger("cleaning").warning("cleaning: %s", warning)
    return {
        "rows": kept.rows,
        "grouped": grouped,
        "dropped": dict(sorted(reasons.items())),
        **conflicts,
        **labels.summary(),
    }


def _decide(settings: CleaningSettings, documents: Path, spill_file: Path) -> Decisions:
    rejections: dict[str, Rejection] = {}
    conflicts = LabelConflicts()
    if settings.conflicting_labels == "drop_both":  # a pass of its own: the first document of a text is dropped too
        for document, text in _long_enough(settings, documents, rejections):
            conflicts.add(text_digest(text), document.doc_id, document.label)
    with spill_file.open("w+b") as spill:
        duplicates = DuplicateFinder(spill, **settings.duplicates.model_dump())
        for document, text in _long_enough(settings, documents, rejections):
            digest = text_digest(text)
            conflicts.add(digest, document.doc_id, document.label)
            other = conflicts.other(digest, document.label)
            rejection = None
            if other is not None and settings.conflicting_labels == "drop_both":
                rejection = Rejection(
                    "conflicting_labels", f"same text as {other[0]}, which has the label {other[1]!r}"
                )
            elif (duplicate := duplicates.add(document.doc_id, text)) is not None:
                rejection = _repeated(duplicate, other)
            if rejection is not None:
                rejections[document.doc_id] = rejection
    return Decisions(rejections, duplicates.groups, conflicts.find())


def _long_enough(
    settings: CleaningSettings, documents: Path, rejections: dict[str, Rejection]
) -> Iterator[tuple[Document, str]]:
    """The documents with their cleaned texts; those that are too short go to `rejections`."""
    for document in progress(_extracted(documents, LabelCleaner()), "cleaning", "documents"):
        text = normalize(document.text, **settings.normalization())
        rejection = _too_short(text, settings.min_characters)
        if rejection is None:
            yield document, text
        else:
            rejections[document.doc_id] = rejection


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
