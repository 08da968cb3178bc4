"""Predictions in parts: each is there whole or not at all, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from tasks.evaluation.schema import probability_column
from tasks.shared.batched import batched
from tasks.shared.errors import RunError
from tasks.shared.files import write_text
from tasks.shared.progress import logger, progress
from tasks.shared.store.artifacts import Artifact, Store, now
from tasks.shared.store.fingerprint import digest_of

if TYPE_CHECKING:
    from tasks.extraction.document import Document
    from tasks.prediction.text_classifier import TextClassifier

FOLDER, MANIFEST = "predictions", "_predictions.json"
"""Readers of Parquet folders pass over names that begin with an underscore."""
TEXTS_AT_ONCE = 256
log = logger("predict")


@dataclass(frozen=True)
class Batch:
    """What is labelled by which model; both name the folder, so that the same batch finds its finished parts again."""

    store: Store
    model: Artifact
    source_digest: str
    part_rows: int

    @property
    def folder(self) -> Path:
        """Where the parts lie."""
        key = digest_of([self.model.digest, self.source_digest, self.part_rows])
        return self.store.root / FOLDER / key[:20]


def predictions_schema(label_names: Sequence[str]) -> pa.Schema:
    """One row per text; `predicted` and the probabilities are null where nothing is left of a text once cleaned."""
    return pa.schema(
        [
            pa.field("doc_id", pa.string(), nullable=False),
            pa.field("predicted", pa.string()),
            *(pa.field(probability_column(label), pa.float64()) for label in label_names),
            pa.field("model", pa.string(), nullable=False),
        ]
    )


def label_parts(batch: Batch, texts: Iterable[Document], source: Path) -> dict[str, Any]:
    """Labels the texts that no finished part holds; returns what stands in `_predictions.json`.

    Raises RunError while another run labels the same texts.
    """
    from tasks.prediction.text_classifier import TextClassifier  # torch

    batch.folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(batch.folder / ".lock", timeout=0)
    try:
        with lock:
            classifier = TextClassifier(batch.store.locate(batch.model))
            return _label(batch, classifier, texts, source)
    except Timeout:
        raise RunError(f"{batch.folder}: another run labels the same texts; wait for it") from None


def _label(batch: Batch, classifier: TextClassifier, texts: Iterable[Document], source: Path) -> dict[str, Any]:
    rows = unreadable = reused = parts = 0
    for parts, part in enumerate(batched(texts, batch.part_rows), 1):
        path = batch.folder / f"part-{parts - 1:05d}.parquet"
        if path.exists():
            reused += 1
        else:
            _write(path, _predicted(batch, classifier, part))
            log.info("predict: part %d finished, %s texts so far", parts, f"{rows + len(part):,}")
        rows += len(part)
        unreadable += pq.read_table(path, columns=["predicted"])["predicted"].null_count
    if unreadable:
        log.warning("predict: texts without a label, because nothing is left of them once cleaned: %d", unreadable)
    summary = {
        "path": str(batch.folder),
        "model": batch.model.fingerprint,
        "source": str(source),
        "rows": rows,
        "without_text": unreadable,
        "parts": parts,
        "reused_parts": reused,
        "finished": now(),
    }
    write_text(batch.folder / MANIFEST, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    log.info("predict: %s texts in %d parts, %d of them from before: %s", f"{rows:,}", parts, reused, batch.folder)
    return summary


def _predicted(batch: Batch, classifier: TextClassifier, part: Sequence[Document]) -> pa.Table:
    names = classifier.label_names
    schema = predictions_schema(names)
    tables = []
    chunks = list(batched(part, TEXTS_AT_ONCE))
    for some in progress(chunks, "predict", f"batches of {TEXTS_AT_ONCE} texts", len(chunks)):
        found = classifier.probabilities([document.text for document in some])
        likeliest = [None if row[0] != row[0] else names[int(row.argmax())] for row in found]  # NaN: no text
        columns = [
            pa.array([document.doc_id for document in some], pa.string()),
            pa.array(likeliest, pa.string()),
            *(pa.array(found[:, i], pa.float64(), from_pandas=True) for i in range(len(names))),
            pa.array([batch.model.fingerprint] * len(some), pa.string()),
        ]
        tables.append(pa.Table.from_arrays(columns, schema=schema))
    return pa.concat_tables(tables)


def _write(path: Path, table: pa.Table) -> None:
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        pq.write_table(table, fresh, compression="zstd")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
