"""Cleans one part of the documents, in whatever process, in three steps with the decisions of `judge.py` in between.

The first and the last step are kept for later runs, without the texts: what the first one cleans lies in the scratch
folder until the last one has written it, and is cleaned once more if a part is kept and only the decisions change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.cleaning.digest import text_digest
from tasks.cleaning.duplicates import Signed, sign
from tasks.cleaning.labels import LabelCleaner
from tasks.cleaning.length import has_text, text_length
from tasks.cleaning.normalize import normalize
from tasks.cleaning.schema import DOCUMENTS, DROPPED, Reason
from tasks.cleaning.shingles import Hashes, shingles
from tasks.extraction.document import Document, document_rows, in_batches, read_part
from tasks.shared.arrays import save_array
from tasks.shared.errors import CorpusError
from tasks.shared.files import replacing
from tasks.shared.parquet import UNBOUNDED, PartWriter
from tasks.shared.parts.make import beside_part, folder_of
from tasks.shared.parts.part import Part

FACTS, HAS_WORDS, BANDS = "facts.arrow", "has_words.npy", "bands.npy"
SHINGLES, OFFSETS, DROPPED_ROWS = "shingles.u64", "offsets.npy", "dropped.arrow"
TEXTS_SCHEMA = pa.schema([("text", pa.string())])
FACTS_SCHEMA = pa.schema([(name, pa.string()) for name in ("doc_id", "label", "digest", "reason", "detail")])
"""`reason` and `detail` are null, unless the text is too short."""
CANDIDATES_SCHEMA = pa.schema([("row", pa.int64())])
"""The rows of a part that share a band with another document."""
DECISIONS_SCHEMA = pa.schema([(name, pa.string()) for name in ("reason", "detail", "group")])
"""A row for each document of a part, kept or not: why it is dropped, or its group."""
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
    labels, signed = LabelCleaner(), list[Signed]()
    with (
        replacing(beside_part(texts, part)) as cleaned,
        pa.ipc.new_stream(cleaned, TEXTS_SCHEMA, options=LZ4) as writer,
        pa.ipc.new_stream(folder / FACTS, FACTS_SCHEMA) as facts,
    ):
        for batch in in_batches(_normalized(part, normalization, labels)):
            too_short = [_too_short(document.text, min_characters) for document in batch]
            writer.write_batch(document_rows(batch, TEXTS_SCHEMA))
            rows = document_rows(batch, pa.schema(list(FACTS_SCHEMA)[:3]))
            columns = [*rows.columns, *map(pa.array, zip(*too_short, strict=True))]
            facts.write_batch(pa.RecordBatch.from_arrays([c.cast(pa.string()) for c in columns], schema=FACTS_SCHEMA))
            if signing is not None:
                kept = [document.text for document, (reason, _) in zip(batch, too_short, strict=True) if not reason]
                signed.append(sign(kept, **signing))
    if signed:
        save_array(folder / HAS_WORDS, np.concatenate([batch.has_words for batch in signed]))
        save_array(folder / BANDS, np.concatenate([batch.bands for batch in signed]))
    return {"labels": labels.documents}


def read_signed(folder: Path) -> Signed:
    """What a prepared part has of each of its documents that are long enough."""
    return Signed(np.load(folder / HAS_WORDS, allow_pickle=False), np.load(folder / BANDS, allow_pickle=False))


def read_facts(folder: Path) -> pa.Table:
    """The table in `FACTS_SCHEMA` of a prepared part."""
    return _read(folder / FACTS)


def shingle_part(
    part: Part, folder: Path, candidates: Path, texts: Path, normalization: Normalization, shingle_words: int
) -> dict[str, int]:
    """Writes the shingles of the documents that `candidates` names for each part, in `CANDIDATES_SCHEMA`."""
    rows = _read(beside_part(candidates, part))["row"]
    sets = [shingles(text, shingle_words) for text in _cleaned_texts(part, texts, normalization, rows).to_pylist()]
    with (folder / SHINGLES).open("wb") as file:
        for own in sets:
            file.write(own.tobytes())
    save_array(folder / OFFSETS, np.cumsum([0, *map(len, sets)], dtype=np.int64))
    return {"candidates": len(sets)}


def read_offsets(folder: Path) -> npt.NDArray[np.int64]:
    """Where the shingles of each document of `shingle_part` begin, and the end of the last, [documents + 1]."""
    offsets: npt.NDArray[np.int64] = np.load(folder / OFFSETS)
    return offsets


def read_shingles(folder: Path, begin: int, end: int) -> Hashes:
    """The shingles from `begin` to `end` - 1 of a part."""
    return np.fromfile(folder / SHINGLES, np.uint64, end - begin, offset=begin * 8)


def finish_part(
    part: Part, folder: Path, prepared: Path, decisions: Path, texts: Path, normalization: Normalization
) -> dict[str, int]:
    """Writes the documents of a prepared part that are kept, with their groups, and the dropped ones as extracted.

    `decisions` has a file for each part, in `DECISIONS_SCHEMA`. Returns the numbers of documents that are kept, and of
    those of them that are in the group of another one.
    """
    facts, decided = read_facts(folder_of(prepared, part)), _read(beside_part(decisions, part))
    is_kept = pc.is_null(decided["reason"])
    others = part.table(["source", "given_split"])
    columns = {name: facts[name] for name in ("doc_id", "label", "digest")}
    columns |= {name: others[name] for name in others.column_names}
    columns |= {"text": _cleaned_texts(part, texts, normalization), "group": decided["group"]}
    kept = pa.table([columns[name] for name in DOCUMENTS.names], schema=DOCUMENTS).filter(is_kept)
    if kept.num_rows:
        with PartWriter(folder, DOCUMENTS, UNBOUNDED) as writer:
            for batch in kept.combine_chunks().to_batches():
                writer.write(batch)
    if kept.num_rows < len(is_kept):
        columns |= {"text": part.table(["text"])["text"], "reason": decided["reason"], "detail": decided["detail"]}
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
    part: Part, texts: Path, normalization: Normalization, rows: pa.ChunkedArray | None = None
) -> pa.ChunkedArray:
    """The cleaned texts of a part, or of some of its rows: those of this run, or cleaned again if it is a kept part."""
    if beside_part(texts, part).exists():
        found = _read(beside_part(texts, part))["text"]
        return found if rows is None else found.take(rows)
    extracted = part.table(["text"])["text"]
    chosen = extracted if rows is None else extracted.take(rows)
    again: Sequence[str] = [normalize(text, **normalization) for text in chosen.to_pylist()]
    return pa.chunked_array([again], pa.string())


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
