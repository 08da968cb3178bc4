"""The columns of the extracted documents, and the row that the sources hand over."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

DOCUMENTS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
    ]
)
"""`01_documents`: one row per document, sorted by doc_id. `source` says where it came from, for people."""


class Document(NamedTuple):
    """One labelled text; the fields are the columns of `DOCUMENTS`, in order."""

    doc_id: str
    label: str
    source: str
    text: str
