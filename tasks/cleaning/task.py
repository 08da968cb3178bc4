"""The cleaning stage: documents in, cleaned documents out, and the dropped ones beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.cleaning.duplicates import Duplicate, Duplicates
from tasks.cleaning.groups import Groups
from tasks.cleaning.normalize import normalize
from tasks.cleaning.schema import DOCUMENTS, DROPPED, Reason
from tasks.cleaning.settings import CleaningSettings
from tasks.shared.engine.stage import stage
from tasks.shared.parquet import PartWriter, read_batches
from tasks.shared.progress import logger, progress

if TYPE_CHECKING:
    from pydantic import JsonValue


BATCH_ROWS = 256
"""Documents in memory at a time."""


class Dropped(NamedTuple):
    """Why a document is left out."""

    reason: Reason
    detail: str


@stage("cleaning", folder="02_cleaned", libraries=("pyarrow", "numpy", "rensa"))
def clean(settings: CleaningSettings, out: Path, *, documents: Path, scratch: Path) -> dict[str, JsonValue]:
    """Reads the documents twice: the first pass decides, the second writes.

    A document's group can change until the last one was seen, and cleaning a text again costs less than storing it.
    """
    folder = documents / "documents"
    dropped, groups = _decide(settings, folder, scratch / "shingles")
    grouped, reasons = 0, Counter[str]()
    with PartWriter(out / "documents", DOCUMENTS) as kept, PartWriter(out / "dropped", DROPPED) as left_out:
        for rows in _documents(folder):
            cleaned, rest = [], []
            for row in rows:
                why = dropped.get(row["doc_id"])
                if why is None:
                    group = groups.of(row["doc_id"])
                    grouped += group != row["doc_id"]
                    cleaned.append({**row, "text": normalize(row["text"], **settings.normalization()), "group": group})
                else:
                    reasons[why.reason] += 1
                    rest.append({**row, "reason": why.reason, "detail": why.detail})
            kept.write(cleaned)
            left_out.write(rest)
    logger("cleaning").info("cleaning: %d kept, dropped: %s", kept.rows, dict(reasons) or "none")
    return {"rows": kept.rows, "grouped": grouped, "dropped": dict(sorted(reasons.items()))}


def _decide(settings: CleaningSettings, folder: Path, spill_file: Path) -> tuple[dict[str, Dropped], Groups]:
    """Which documents are left out and why, and which of the others belong together."""
    dropped: dict[str, Dropped] = {}
    with spill_file.open("w+b") as spill:
        duplicates = Duplicates(spill, **settings.duplicates.model_dump())
        rows = (row for batch in _documents(folder) for row in batch)
        for row in progress(rows, "cleaning", "documents"):
            text = normalize(row["text"], **settings.normalization())
            why = _too_little(text, settings.min_characters)
            if why is None and (repeated := duplicates.add(row["doc_id"], text)) is not None:
                why = _repeats(repeated)
            if why is not None:
                dropped[row["doc_id"]] = why
    return dropped, duplicates.groups


def _documents(folder: Path) -> Iterator[list[dict[str, str]]]:
    columns = [field.name for field in DOCUMENTS if field.name != "group"]
    for batch in read_batches(folder, columns, rows=BATCH_ROWS):
        yield batch.to_pylist()


def _too_little(text: str, min_characters: int) -> Dropped | None:
    if not text.strip():
        return Dropped("empty", "no text left once cleaned")
    if len(text) < min_characters:
        return Dropped("too_short", f"{len(text)} characters once cleaned, cleaning.min_characters is {min_characters}")
    return None


def _repeats(repeated: Duplicate) -> Dropped:
    if repeated.exact:
        return Dropped("exact_duplicate", f"same text as {repeated.of}, similarity 1.000")
    return Dropped("near_duplicate", f"nearly the text of {repeated.of}, similarity {repeated.similarity:.3f}")
