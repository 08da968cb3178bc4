"""Rows of documents in the order of their ids, for a corpus of any size.

An external merge sort: chunks of bounded size are sorted in memory and written to disk, then merged. In memory are one
chunk at most, then a few rows of each. A corpus of a single chunk never touches the disk. Of a larger one, nearly all
texts do, uncompressed: compression would take half of the sort's time, and save a tenth to two fifths of the bytes.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from operator import eq
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tasks.extraction.document import TEXT_ROWS, documents_of
from tasks.extraction.schema import DOCUMENTS
from tasks.shared.errors import CorpusError

CHUNK_BYTES = 32 * 2**20
"""A chunk is closed before it has more bytes, unless a single batch has."""
MERGE_BYTES = 2**18
"""Bytes of each chunk in memory while the chunks are merged, about; at least a row."""


def sort_by_id(
    batches: Iterable[pa.RecordBatch], chunk_bytes: int = CHUNK_BYTES, merge_bytes: int = MERGE_BYTES
) -> Iterator[pa.RecordBatch]:
    """The rows sorted by doc_id; those of one doc_id stay in the order they came in."""
    with ExitStack() as stack:
        written: list[Path] = []
        chunk: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            if chunk and size + batch.nbytes > chunk_bytes:
                if not written:
                    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corpusflow-")))
                written.append(_write(_sorted(chunk, merge_bytes), scratch / f"chunk-{len(written)}.arrow"))
                size = 0
            chunk.append(batch)
            size += batch.nbytes
        in_memory = [_sorted(chunk, merge_bytes)] if chunk else []
        yield from _merged([*map(_read, written), *in_memory])


def _sorted(chunk: list[pa.RecordBatch], bytes_at_once: int) -> Iterator[pa.RecordBatch]:
    """The rows of a chunk, sorted; empties the list, so that they are not in memory twice."""
    rows = pa.concat_batches(chunk) if len(chunk) > 1 else chunk[0]
    chunk.clear()
    order = pc.sort_indices(rows["doc_id"])  # stable
    at_once = max(1, min(TEXT_ROWS, bytes_at_once * rows.num_rows // max(1, rows.nbytes)))
    for start in range(0, rows.num_rows, at_once):
        yield rows.take(order.slice(start, at_once))


def _write(batches: Iterator[pa.RecordBatch], file: Path) -> Path:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, DOCUMENTS) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file


def _read(file: Path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as reader:
        yield from reader


class _Run:
    """Sorted batches, with those rows in memory that are not yet merged; `ids` are theirs."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self.ids: list[str] = []

    def fill(self) -> bool:
        """Whether there are rows in memory, after reading the next ones if there were none."""
        while not self.ids and (batch := next(self._batches, None)) is not None:
            self._rows, self.ids = batch, batch["doc_id"].to_pylist()
        return bool(self.ids)

    def take(self, count: int) -> pa.RecordBatch:
        """The first rows in memory, which then are merged."""
        taken, self._rows = self._rows.slice(0, count), self._rows.slice(count)
        del self.ids[:count]
        return taken


def _merged(sources: Sequence[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Merges sorted runs, as many rows at a time as are known to come next.

    These are the rows up to the smallest of the runs' last ids in memory. Rows with that id may follow in the run that
    it comes from, and then precede those of later runs.
    """
    if len(sources) == 1:
        yield from sources[0]
        return
    runs = [run for run in map(_Run, sources) if run.fill()]
    while runs:
        first = min(range(len(runs)), key=lambda number: runs[number].ids[-1])
        last = runs[first].ids[-1]
        counts = [(bisect_right if number <= first else bisect_left)(run.ids, last) for number, run in enumerate(runs)]
        rows = pa.concat_batches([run.take(count) for run, count in zip(runs, counts, strict=True) if count])
        yield rows.take(pc.sort_indices(rows["doc_id"]))
        runs = [run for run in runs if run.fill()]


def validate(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Passes sorted rows on.

    Raises CorpusError for an empty id or label, an id that occurs twice, and a source without documents.
    """
    previous: pa.RecordBatch | None = None
    for batch in batches:
        ids, labels = batch["doc_id"].to_pylist(), batch["label"].unique().to_pylist()
        if previous is not None:
            ids.insert(0, previous["doc_id"][0].as_py())
        if not all(map(str.strip, [*ids, *labels])) or any(map(eq, ids, ids[1:])):
            _refuse(batch if previous is None else pa.concat_batches([previous, batch]))
        yield batch
        previous = batch.slice(batch.num_rows - 1)
    if previous is None:
        raise CorpusError("the source has no documents; check what extraction.source points to")


def _refuse(rows: pa.RecordBatch) -> None:
    previous = None
    for document in documents_of(rows):
        if not document.doc_id.strip() or not document.label.strip():
            empty = "label" if document.doc_id.strip() else "doc_id"
            raise CorpusError(f"{document.source}: the {empty} is empty; give every document one")
        if previous is not None and document.doc_id == previous.doc_id:
            raise CorpusError(
                f"doc_id {document.doc_id!r} occurs twice, in {previous.source} and in {document.source}; "
                "give each document its own"
            )
        previous = document
