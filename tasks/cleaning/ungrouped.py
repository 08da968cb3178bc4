"""The kept documents, in a file, until their groups are known.

A document's group is final only after the last document. Until then its cleaned text waits on disk, so that no text is
cleaned twice and memory does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from tasks.cleaning.schema import DOCUMENTS
from tasks.extraction.document import Document, document_rows

if TYPE_CHECKING:
    from tasks.cleaning.union_find import UnionFind

SCHEMA = pa.schema([field for field in DOCUMENTS if field.name != "group"])


class UngroupedDocuments:
    """Cleaned documents without groups, written batch by batch, then read once with them."""

    def __init__(self, file: BinaryIO) -> None:
        """`file` is empty, and open for writing and reading; it grows to less than the size of the texts."""
        self._file = file
        self._writer = pa.ipc.new_stream(file, SCHEMA, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def write(self, documents: Sequence[Document]) -> None:
        """Adds documents, in order."""
        self._writer.write_batch(document_rows(documents, SCHEMA))

    def read(self, groups: UnionFind) -> Iterator[pa.RecordBatch]:
        """The documents in the order and the batches in which they were written, with the columns of `DOCUMENTS`."""
        self._writer.close()
        self._file.seek(0)
        for batch in pa.ipc.open_stream(self._file):
            names = pa.array(map(groups.find, batch["doc_id"].to_pylist()), pa.string())
            columns = [names if name == "group" else batch[name] for name in DOCUMENTS.names]
            yield pa.RecordBatch.from_arrays(columns, schema=DOCUMENTS)
