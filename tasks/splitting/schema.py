"""The columns of the division."""

from __future__ import annotations

import pyarrow as pa

SPLITS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
"""`split` is train, validation or test; documents of dropped labels have no row."""
