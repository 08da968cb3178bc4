"""The splitting stage: cleaned documents in, the split of each document out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tasks.extraction import schema as extraction
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter, read_batches
from tasks.shared.progress import logger
from tasks.splitting.assign import assign_fold, assign_splits
from tasks.splitting.earlier import has_common_documents, read_rows_and_splits
from tasks.splitting.given import assign_given
from tasks.splitting.rows import NONE, Splits, read_rows
from tasks.splitting.schema import DATASET, SPLITS, SPLITS_SCHEMA
from tasks.splitting.settings import SplittingSettings

if TYPE_CHECKING:
    from pydantic import JsonValue

BATCH_ROWS = 65_536


def _has_common_documents(settings: SplittingSettings, earlier: Path, inputs: Mapping[str, Path]) -> bool:
    """Whether earlier splits have any of the documents, by text or by id.

    A fold always starts afresh, and so do splits that the corpus comes with.
    """
    if settings.fold is not None or _has_given_splits(inputs["cleaned"]):
        return False
    return has_common_documents(inputs["cleaned"], earlier)


@stage(
    "splitting",
    folder="03_splits",
    libraries=("pyarrow", "numpy", "scikit-learn"),
    continues=_has_common_documents,
)
def split(
    settings: SplittingSettings, out: Path, *, cleaned: Path, previous: Path | None = None
) -> dict[str, JsonValue]:
    """Reads ids, labels, groups and digests, never the texts, and writes the split of each document.

    `previous` are earlier splits, whose texts stay where they are; a fold ignores them. Splits that the corpus comes
    with are honoured. Raises CorpusError for a fold of such a corpus.
    """
    assigned, found = _assign(settings, cleaned, previous)
    with PartWriter(out / DATASET, SPLITS_SCHEMA) as writer:
        for batch in _batches(cleaned, assigned):
            writer.write(batch)
    counts = {name: int(np.count_nonzero(assigned == number)) for number, name in enumerate(SPLITS)}
    logger("splitting").info("splitting: %s", ", ".join(f"{count} {name}" for name, count in counts.items()))
    return {"rows": writer.rows, **counts, "dropped": len(assigned) - writer.rows, **found}


def _assign(settings: SplittingSettings, cleaned: Path, previous: Path | None) -> tuple[Splits, dict[str, JsonValue]]:
    """The split of each document, NONE if it is dropped, and what else was found, for the summary."""
    shares = {name: getattr(settings, name) for name in SPLITS}
    fold, policy = settings.fold, settings.small_labels
    if _has_given_splits(cleaned):
        if fold is not None:
            raise CorpusError(
                "the corpus comes with its splits, and a cross-validation draws its own; set "
                "extraction.table.split_column to null for it"
            )
        assigned, found = assign_given(read_rows(cleaned, settings.seed), shares, policy)
        return assigned, {"moved": 0, **found}
    if fold is not None or previous is None:
        rows = read_rows(cleaned, settings.seed)
        if fold is None:
            return assign_splits(rows, shares, policy), {"moved": 0}
        return assign_fold(rows, shares, fold.count, fold.index, policy), {"moved": 0}
    rows, before = read_rows_and_splits(cleaned, previous, settings.seed)
    assigned = assign_splits(rows, shares, policy, before)
    return assigned, {"moved": int(np.count_nonzero((before != NONE) & (assigned != NONE) & (before != assigned)))}


def _has_given_splits(cleaned: Path) -> bool:
    """Whether the corpus comes with splits: all documents have one, or none has."""
    first = next(read_batches(cleaned / extraction.DATASET, ["given_split"], rows=1), None)
    return first is not None and first["given_split"].null_count == 0


def _batches(cleaned: Path, assigned: Splits) -> Iterator[pa.RecordBatch]:
    """The documents that are in a split, some at a time."""
    names, done = pa.array(SPLITS), 0
    waiting = SPLITS_SCHEMA.empty_table()
    for rows in read_batches(cleaned / extraction.DATASET, ["doc_id", "label", "group", "digest"], rows=BATCH_ROWS):
        of_rows = assigned[done : done + rows.num_rows]
        done += rows.num_rows
        mask = of_rows != NONE
        columns = {
            **dict(zip(rows.schema.names, rows.columns, strict=True)),
            "split": names.take(pa.array(of_rows, mask=~mask)),
        }
        found = pa.RecordBatch.from_arrays([columns[name] for name in SPLITS_SCHEMA.names], schema=SPLITS_SCHEMA)
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([found.filter(pa.array(mask))])])
        while waiting.num_rows >= BATCH_ROWS:
            yield from waiting.slice(0, BATCH_ROWS).combine_chunks().to_batches()
            waiting = waiting.slice(BATCH_ROWS)
    yield from waiting.combine_chunks().to_batches()
