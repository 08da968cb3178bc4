"""Cleans one part of the documents, in whatever process, in three steps with the decisions of `judge.py` in between.

The first and the last step are kept for later runs, without the texts: what the first one cleans lies in the scratch
folder until the last one has written it, and is cleaned once more if a part is kept and only the decisions change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.digest import text_digest
from tasks.cleaning.duplicates import sign
from tasks.cleaning.labels import LabelCleaner
from tasks.cleaning.length import has_text, text_length
from tasks.cleaning.normalize import normalize
from tasks.cleaning.schema import DOCUMENTS, DROPPED, Reason
from tasks.cleaning.shingles import shingles
from tasks.extraction.document import Document, document_rows, in_batches, read_part
from tasks.shared.errors import CorpusError
from tasks.shared.files import replacing
from tasks.shared.parquet import UNBOUNDED, PartWriter
from tasks.shared.parts.beside import Place
from tasks.shared.parts.part import Part

FACTS, SHINGLES, DROPPED_ROWS = "facts.arrow", "shingles.arrow", "dropped.arrow"
TEXTS_SCHEMA = pa.schema([("text", pa.string())])
_STRINGS = ("doc_id", "label", "digest", "reason", "detail")
FACTS_SCHEMA = pa.schema([*((name, pa.string()) for name in _STRINGS), ("bands", pa.binary())])
"""`reason` and `detail` are null unless the text is too short; `bands`, 64-bit numbers, without a signature."""
SHINGLES_SCHEMA = pa.schema([("shingles", pa.large_list(pa.uint64()))])
CANDIDATES_SCHEMA = pa.schema([("row", pa.int64())])
"""The rows of a part that share a band with another document."""
DECISIONS_SCHEMA = pa.schema([("row", pa.int64()), *((name, pa.string()) for name in ("reason", "detail", "group"))])
"""The rows of a part that are dropped because they repeat another document, or are in the group of another one."""
LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")
Normalization = Mapping[str, bool]


def prepare_part(
    part: Part,
    folder: Path,
    texts: Path,
    normalization: Normalization,
    min_characters: int,
    signing: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Normalizes the documents of a part, and signs those that are long enough (not without `signing`).

    Writes what decides about them, and into the folder `texts` the cleaned texts. Returns the number of documents of
    each label, as extracted. Raises CorpusError for a label that is empty once cleaned.
    """
    labels = LabelCleaner()
    with (
        replacing(_texts_of(texts, part)) as cleaned,
        pa.ipc.new_stream(cleaned, TEXTS_SCHEMA, options=LZ4) as writer,
        pa.ipc.new_stream(folder / FACTS, FACTS_SCHEMA) as facts,
    ):
        for batch in in_batches(_normalized(part, normalization, labels)):
            too_short = [_too_short(document.text, min_characters) for document in batch]
            writer.write_batch(document_rows(batch, TEXTS_SCHEMA))
            rows = document_rows(batch, pa.schema(list(FACTS_SCHEMA)[:3]))
            columns = [*rows.columns, *(pa.array(column, pa.string()) for column in zip(*too_short, strict=True))]
            columns.append(_signatures(batch, too_short, signing))
            facts.write_batch(pa.RecordBatch.from_arrays(columns, schema=FACTS_SCHEMA))
    return {"labels": labels.documents}


def _signatures(
    batch: Sequence[Document],
    too_short: Sequence[tuple[Reason | None, str | None]],
    signing: Mapping[str, Any] | None,
) -> pa.BinaryArray:
    signatures: list[bytes | None] = [None] * len(batch)
    if signing is not None:
        rows = [number for number, (reason, _) in enumerate(too_short) if not reason]
        signed = sign([batch[row].text for row in rows], **signing)
        for row, has_words, bands in zip(rows, signed.has_words.tolist(), signed.bands, strict=True):
            signatures[row] = bands.tobytes() if has_words else None
    return pa.array(signatures, pa.binary())


def read_facts(folder: Path) -> pa.Table:
    """The table in `FACTS_SCHEMA` of a prepared part."""
    return _read(folder / FACTS)


def shingle_part(
    part: Part,
    folder: Path,
    candidates: Place,
    texts: Path,
    normalization: Normalization,
    shingle_words: int,
) -> dict[str, int]:
    """Writes the shingles of the documents in the rows that the table `candidates` has, in `CANDIDATES_SCHEMA`."""
    rows = _cleaned_texts(part, texts, normalization, candidates.read()["row"])
    sets = [shingles(text, shingle_words) for text in rows.to_pylist()]
    offsets = pa.array(np.cumsum([0, *map(len, sets)], dtype=np.int64))
    column = pa.LargeListArray.from_arrays(offsets, pa.array(np.concatenate(sets)))
    with pa.ipc.new_stream(folder / SHINGLES, SHINGLES_SCHEMA) as file:
        file.write_batch(pa.RecordBatch.from_arrays([column], schema=SHINGLES_SCHEMA))
    return {"candidates": len(sets)}


def read_shingles(folder: Path) -> pa.ChunkedArray:
    """Those of each document of `shingle_part`."""
    return _read(folder / SHINGLES)["shingles"]


def finish_part(
    part: Part, folder: Path, decisions: Place, prepared: Path, texts: Path, normalization: Normalization
) -> dict[str, int]:
    """Writes the documents of a prepared part that are kept, with their groups, and the dropped ones as extracted.

    `decisions` has the rows that repeat another one, in `DECISIONS_SCHEMA`; `prepared` is what `prepare_part` has
    written. Returns the numbers of documents that are kept, and of those of them that are in the group of another one.
    """
    facts, others = read_facts(prepared), part.table(["source", "given_split"])
    reasons, details, groups = (facts[name].to_pylist() for name in ("reason", "detail", "doc_id"))
    for row, reason, detail, group in zip(*(column.to_pylist() for column in decisions.read().columns), strict=True):
        reasons[row], details[row], groups[row] = reason, detail, group
    is_kept = pa.array([reason is None for reason in reasons], pa.bool_())
    columns = {name: facts[name] for name in ("doc_id", "label", "digest")}
    columns |= {name: others[name] for name in others.column_names}
    columns |= {"text": _cleaned_texts(part, texts, normalization), "group": pa.array(groups, pa.string())}
    kept = pa.table([columns[name] for name in DOCUMENTS.names], schema=DOCUMENTS).filter(is_kept)
    if kept.num_rows:
        with PartWriter(folder, DOCUMENTS, UNBOUNDED) as writer:
            for batch in kept.combine_chunks().to_batches():
                writer.write(batch)
    if kept.num_rows < len(is_kept):
        why = {"reason": pa.array(reasons, pa.string()), "detail": pa.array(details, pa.string())}
        columns |= {"text": part.table(["text"])["text"], **why}
        dropped = pa.table([columns[name] for name in DROPPED.names], names=DROPPED.names)
        with pa.ipc.new_stream(folder / DROPPED_ROWS, DROPPED) as file:
            file.write_table(dropped.filter(pc.invert(is_kept)).cast(DROPPED))
    grouped = pc.sum(pc.not_equal(kept["group"], kept["doc_id"])).as_py() or 0
    return {"rows": kept.num_rows, "grouped": grouped}


def read_dropped(folder: Path) -> Iterator[pa.RecordBatch]:
    """The dropped documents of a finished part."""
    if (folder / DROPPED_ROWS).exists():
        with pa.memory_map(str(folder / DROPPED_ROWS)) as file:
            yield from pa.ipc.open_stream(file)


def _normalized(part: Part, normalization: Normalization, labels: LabelCleaner) -> Iterator[Document]:
    """The documents with cleaned labels and texts, and the digests of these."""
    for document in read_part(part, ("doc_id", "label", "source", "text")):
        label = labels.clean(document.label)
        if not label:
            raise CorpusError(
                f"{document.source}: the label {document.label!r} has no visible character; label it, or remove it"
            )
        text = normalize(document.text, **normalization)
        yield document._replace(label=label, text=text, digest=text_digest(text))


def _cleaned_texts(
    part: Part, texts: Path, normalization: Normalization, rows: pa.Array | None = None
) -> pa.ChunkedArray:
    """The cleaned texts of a part, or of some of its rows: those of this run, or cleaned again if it is a kept part."""
    if _texts_of(texts, part).exists():
        found = _read(_texts_of(texts, part))["text"]
        return found if rows is None else found.take(rows)
    extracted = part.table(["text"])["text"]
    chosen = extracted if rows is None else extracted.take(rows)
    again: Sequence[str] = [normalize(text, **normalization) for text in chosen.to_pylist()]
    return pa.chunked_array([again], pa.string())


def _texts_of(texts: Path, part: Part) -> Path:
    """Where the cleaned texts of a part lie if it was prepared by this run."""
    return texts / f"{part.number}.arrow"


def _too_short(text: str, min_characters: int) -> tuple[Reason | None, str | None]:
    """Why a cleaned text is dropped, in a word and in words for people; nothing if it is long enough."""
    if not has_text(text):
        return "empty", "no text left once cleaned" + (", only invisible characters" if text.strip() else "")
    if len(text) < min_characters and (length := text_length(text)) < min_characters:
        return "too_short", f"{length} characters once cleaned, cleaning.min_characters is {min_characters}"
    return None, None


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_stream(file).read_all()
