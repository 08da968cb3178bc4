"""The identity of a text: a digest of its cleaned form.

Splits, promotion, drift and cross-validation know a document by this digest, not by its doc_id: files and labels are
renamed, and tables are exported again with other line breaks, while the texts stay the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tasks.extraction.document import Document, read_documents
from tasks.extraction.schema import DATASET
from tasks.shared.parquet import read_schema


def text_digest(cleaned: str) -> str:
    """BLAKE2b of a cleaned text, as 32 hexadecimal digits."""
    return hashlib.blake2b(cleaned.encode(), digest_size=16).hexdigest()


def read_digests(cleaned: Path) -> Iterator[Document]:
    """Id and digest of each cleaned document, in order; computed from the texts if an older version wrote them.

    Raises ArtifactError for a missing or damaged dataset.
    """
    if "digest" in read_schema(cleaned / DATASET).names:
        yield from read_documents(cleaned, ("doc_id", "digest"))
    else:
        for document in read_documents(cleaned, ("doc_id", "text")):
            yield document._replace(text="", digest=text_digest(document.text))
