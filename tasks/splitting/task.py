"""The splitting stage: cleaned documents in, the part of each document out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tasks.shared.engine.stage import stage
from tasks.shared.parquet import PartWriter, read_batches
from tasks.shared.progress import logger
from tasks.splitting.divide import PARTS, divide, divide_fold
from tasks.splitting.schema import SPLITS
from tasks.splitting.settings import SplittingSettings
from tasks.splitting.units import Document

if TYPE_CHECKING:
    from pydantic import JsonValue

ROWS = 65_536


def _has_common_documents(settings: SplittingSettings, earlier: Path, inputs: Mapping[str, Path]) -> bool:
    """Whether an earlier division knows any of the documents; a fold of a cross-validation starts afresh."""
    if settings.fold is not None:
        return False
    known = _parts(earlier)
    return any(document.doc_id in known for document in _documents(inputs["cleaned"]))


@stage(
    "splitting",
    folder="03_splits",
    libraries=("pyarrow", "numpy", "scikit-learn"),
    continues=_has_common_documents,
)
def split(
    settings: SplittingSettings, out: Path, *, cleaned: Path, previous: Path | None = None
) -> dict[str, JsonValue]:
    """Reads the ids, labels and groups, never the texts, and writes a part for each document.

    `previous` is an earlier division, whose documents stay where they were; folds take no notice of it.
    """
    documents = sorted(_documents(cleaned))
    shares = {part: getattr(settings, part) for part in PARTS}
    if settings.fold is None:
        before = None if previous is None else _parts(previous)
        parts = divide(documents, shares, settings.seed, settings.small_labels, before)
        moved = sum(parts.get(doc_id, part) != part for doc_id, part in (before or {}).items())
    else:
        fold, moved = settings.fold, 0
        parts = divide_fold(documents, shares, fold.count, fold.index, settings.seed, settings.small_labels)
    with PartWriter(out / "splits", SPLITS) as writer:
        rows = [(*document, parts[document.doc_id]) for document in documents if document.doc_id in parts]
        for start in range(0, len(rows), ROWS):
            columns = zip(*rows[start : start + ROWS], strict=True)
            writer.write(pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=SPLITS))
    counts = Counter(parts.values())
    logger("splitting").info("splitting: %s", ", ".join(f"{counts[part]} {part}" for part in PARTS))
    return {
        "rows": writer.rows,
        **{part: counts[part] for part in PARTS},
        "dropped": len(documents) - writer.rows,
        "moved": moved,
    }


def _documents(cleaned: Path) -> Iterator[Document]:
    for batch in read_batches(cleaned / "documents", ["doc_id", "label", "group"], rows=ROWS):
        yield from map(Document, *(column.to_pylist() for column in batch.columns))


def _parts(folder: Path) -> dict[str, str]:
    batches = read_batches(folder / "splits", ["doc_id", "split"], rows=ROWS)
    return {doc_id: part for batch in batches for doc_id, part in zip(*batch.to_pydict().values(), strict=True)}
