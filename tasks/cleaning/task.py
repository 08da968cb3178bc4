"""The cleaning stage: documents in; cleaned documents and dropped documents out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.cleaning.duplicates import Duplicate, DuplicateFinder
from tasks.cleaning.normalize import normalize
from tasks.cleaning.schema import DOCUMENTS, DROPPED, DROPPED_DATASET, Reason
from tasks.cleaning.settings import CleaningSettings
from tasks.cleaning.union_find import UnionFind
from tasks.extraction.document import Document, read_documents
from tasks.extraction.schema import DATASET
from tasks.extraction.schema import DOCUMENTS as EXTRACTED
from tasks.shared.batched import batched
from tasks.shared.engine.stage import stage
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


@stage("cleaning", folder="02_cleaned", libraries=("pyarrow", "numpy", "rensa"))
def clean(settings: CleaningSettings, out: Path, *, documents: Path, scratch: Path) -> dict[str, JsonValue]:
    """Reads the documents twice: the first pass decides, the second writes.

    A document's group is final only after the last document, and cleaning a text again costs less than storing it.
    """
    rejections, groups = _decide(settings, documents, scratch / "shingles")
    grouped, reasons = 0, Counter[str]()
    with PartWriter(out / DATASET, DOCUMENTS) as kept, PartWriter(out / DROPPED_DATASET, DROPPED) as dropped:
        for batch in batched(_extracted(documents), BATCH_ROWS):
            kept_rows, dropped_rows = [], []
            for document in batch:
                rejection = rejections.get(document.doc_id)
                if rejection is None:
                    group, text = groups.find(document.doc_id), normalize(document.text, **settings.normalization())
                    grouped += group != document.doc_id
                    kept_rows.append(document._replace(text=text, group=group)._asdict())
                else:
                    reasons[rejection.reason] += 1
                    dropped_rows.append({**document._asdict(), **rejection._asdict()})
            kept.write(kept_rows)
            dropped.write(dropped_rows)
    logger("cleaning").info("cleaning: %d kept, dropped: %s", kept.rows, dict(reasons) or "none")
    return {"rows": kept.rows, "grouped": grouped, "dropped": dict(sorted(reasons.items()))}


def _decide(settings: CleaningSettings, documents: Path, spill_file: Path) -> tuple[dict[str, Rejection], UnionFind]:
    """Which documents are dropped and why, by doc_id, and the groups of the others."""
    rejections: dict[str, Rejection] = {}
    with spill_file.open("w+b") as spill:
        duplicates = DuplicateFinder(spill, **settings.duplicates.model_dump())
        for document in progress(_extracted(documents), "cleaning", "documents"):
            text = normalize(document.text, **settings.normalization())
            rejection = _too_short(text, settings.min_characters)
            if rejection is None and (duplicate := duplicates.add(document.doc_id, text)) is not None:
                rejection = _repeated(duplicate)
            if rejection is not None:
                rejections[document.doc_id] = rejection
    return rejections, duplicates.groups


def _extracted(documents: Path) -> Iterator[Document]:
    return read_documents(documents, EXTRACTED.names)


def _too_short(text: str, min_characters: int) -> Rejection | None:
    if not text.strip():
        return Rejection("empty", "no text left once cleaned")
    if len(text) < min_characters:
        return Rejection(
            "too_short", f"{len(text)} characters once cleaned, cleaning.min_characters is {min_characters}"
        )
    return None


def _repeated(duplicate: Duplicate) -> Rejection:
    if duplicate.exact:
        return Rejection("exact_duplicate", f"same text as {duplicate.original}, similarity 1.000")
    return Rejection(
        "near_duplicate", f"nearly the text of {duplicate.original}, similarity {duplicate.similarity:.3f}"
    )
