"""Cleans one part of the documents, in whatever process, in two steps with the decisions of `judge.py` in between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.digest import text_digest
from tasks.cleaning.duplicates import Signed, sign
from tasks.cleaning.labels import LabelCleaner
from tasks.cleaning.length import has_text, text_length
from tasks.cleaning.normalize import normalize
from tasks.cleaning.schema import DOCUMENTS, DROPPED, Reason
from tasks.extraction.document import Document, document_rows, in_batches, read_part
from tasks.extraction.schema import DOCUMENTS as EXTRACTED
from tasks.shared.arrays import save_array
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import UNBOUNDED, PartWriter
from tasks.shared.parts.make import folder_of
from tasks.shared.parts.part import Part

TEXTS, FACTS, DECISIONS, DROPPED_ROWS = "texts.arrow", "facts.arrow", "decisions.arrow", "dropped.arrow"
UNGROUPED_SCHEMA = pa.schema([field for field in DOCUMENTS if field.name != "group"])
FACTS_SCHEMA = pa.schema([(name, pa.string()) for name in ("doc_id", "label", "digest", "reason", "detail")])
"""`reason` and `detail` are null, unless the text is too short."""
DECISIONS_SCHEMA = pa.schema([(name, pa.string()) for name in ("reason", "detail", "group")])
"""A row for each document of a part, kept or not: why it is dropped, or its group."""
HASHES, OFFSETS, BANDS = "shingles.u64", "offsets.npy", "bands.npy"
LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")


def prepare_part(
    part: Part, folder: Path, normalization: Mapping[str, bool], min_characters: int, signing: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Normalizes the documents of a part, and signs those that are long enough (not without `signing`).

    Writes the cleaned texts, and what decides about them. Returns the number of documents of each label, as extracted.
    Raises CorpusError for a label that is empty once cleaned.
    """
    labels, signed = LabelCleaner(), list[Signed]()
    with (
        pa.ipc.new_stream(folder / TEXTS, UNGROUPED_SCHEMA, options=LZ4) as texts,
        pa.ipc.new_stream(folder / FACTS, FACTS_SCHEMA) as facts,
    ):
        for batch in in_batches(_normalized(part, normalization, labels)):
            too_short = [_too_short(document.text, min_characters) for document in batch]
            rows = document_rows(batch, UNGROUPED_SCHEMA)
            texts.write_batch(rows)
            columns = [*(rows[name] for name in FACTS_SCHEMA.names[:3]), *map(pa.array, zip(*too_short, strict=True))]
            facts.write_batch(pa.RecordBatch.from_arrays([c.cast(pa.string()) for c in columns], schema=FACTS_SCHEMA))
            if signing is not None:
                kept = [document.text for document, (reason, _) in zip(batch, too_short, strict=True) if not reason]
                signed.append(sign(kept, **signing))
    if signed:
        _save_signed(signed, folder)
    return {"labels": labels.documents}


def read_signed(folder: Path) -> Signed:
    """What a prepared part has of each of its documents that are long enough; their shingles stay in the file."""
    return Signed(folder / HASHES, np.load(folder / OFFSETS), np.load(folder / BANDS))


def read_facts(folder: Path) -> pa.Table:
    """The table in `FACTS_SCHEMA` of a prepared part."""
    return _read(folder / FACTS)


def finish_part(part: Part, folder: Path, prepared: Path, decisions: Path) -> dict[str, int]:
    """Writes the documents of a prepared part that are kept, with their groups, and the dropped ones as extracted.

    `decisions` has a file for each part, in `DECISIONS_SCHEMA`. Returns the numbers of documents that are kept, and of
    those of them that are in the group of another one.
    """
    decided, texts = _read(decisions / f"{part.number}.arrow"), _read(folder_of(prepared, part) / TEXTS)
    is_kept = pc.is_null(decided["reason"])
    kept = texts.append_column("group", decided["group"]).select(DOCUMENTS.names).cast(DOCUMENTS).filter(is_kept)
    if kept.num_rows:
        with PartWriter(folder, DOCUMENTS, UNBOUNDED) as writer:
            for batch in kept.to_batches():
                writer.write(batch)
    if kept.num_rows < texts.num_rows:
        rows = texts.set_column(texts.schema.get_field_index("text"), "text", part.table(["text"])["text"])
        rows = rows.append_column("reason", decided["reason"]).append_column("detail", decided["detail"])
        with pa.ipc.new_stream(folder / DROPPED_ROWS, DROPPED) as file:
            file.write_table(rows.select(DROPPED.names).filter(pc.invert(is_kept)).cast(DROPPED))
    grouped = pc.sum(pc.not_equal(kept["group"], kept["doc_id"])).as_py() or 0
    return {"rows": kept.num_rows, "grouped": grouped}


def read_dropped(folder: Path) -> Iterator[pa.RecordBatch]:
    """The dropped documents of a finished part."""
    if (folder / DROPPED_ROWS).exists():
        with pa.memory_map(str(folder / DROPPED_ROWS)) as file:
            yield from pa.ipc.open_stream(file)


def _normalized(part: Part, normalization: Mapping[str, bool], labels: LabelCleaner) -> Iterator[Document]:
    """The documents with cleaned labels and texts, and the digests of these."""
    for document in read_part(part, EXTRACTED.names):
        label = labels.clean(document.label)
        if not label:
            raise CorpusError(
                f"{document.source}: the label {document.label!r} has no visible character; label it, or remove it"
            )
        text = normalize(document.text, **normalization)
        yield document._replace(label=label, text=text, digest=text_digest(text))


def _too_short(text: str, min_characters: int) -> tuple[Reason | None, str | None]:
    """Why a cleaned text is dropped, in a word and in words for people; nothing if it is long enough."""
    if not has_text(text):
        return "empty", "no text left once cleaned" + (", only invisible characters" if text.strip() else "")
    if len(text) < min_characters and (length := text_length(text)) < min_characters:
        return "too_short", f"{length} characters once cleaned, cleaning.min_characters is {min_characters}"
    return None, None


def _save_signed(signed: Sequence[Signed], folder: Path) -> None:
    with (folder / HASHES).open("wb") as file:
        for batch in signed:
            file.write(batch.hashes.tobytes() if isinstance(batch.hashes, np.ndarray) else b"")
    sizes = np.concatenate([np.diff(batch.offsets) for batch in signed])
    save_array(folder / OFFSETS, np.cumsum([0, *sizes], dtype=np.int64))
    save_array(folder / BANDS, np.concatenate([batch.bands for batch in signed]))


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_stream(file).read_all()
