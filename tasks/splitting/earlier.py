"""Finds the documents of earlier splits again among today's: by the digests of their texts, not by their ids."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.cleaning.digest import read_digests
from tasks.cleaning.schema import FOLDER
from tasks.extraction.document import Document, read_documents
from tasks.shared.errors import ArtifactError
from tasks.shared.parquet import read_schema
from tasks.splitting.documents import read_splits
from tasks.splitting.schema import DATASET, SPLITS, SPLITS_SCHEMA

LEARNED = ("train", "validation")
"""The splits that a model knows: it learned from one, and was selected by the other."""


def read_splits_with_digests(splits: Path) -> list[Document]:
    """The documents of a splits artifact in order of doc_id, with the digests of their texts.

    A splits artifact of version 0.1 has no digests. They are then taken from the cleaned artifact that it was made
    from, if that still exists; else they are empty, and its documents can be found by doc_id alone.
    """
    if "digest" in read_schema(splits / DATASET).names:
        return list(read_documents(splits, SPLITS_SCHEMA.names, DATASET))
    digests = _digests_of_cleaned(splits)
    return [document._replace(digest=digests.get(document.doc_id, "")) for document in read_splits(splits)]


def _digests_of_cleaned(splits: Path) -> dict[str, str]:
    """The digests of the cleaned artifact in a splits artifact's lineage, by doc_id; empty if it is gone or damaged."""
    try:
        lineage = json.loads((splits / "artifact.json").read_text(encoding="utf-8"))["lineage"]
        cleaned = splits.parents[1] / FOLDER / str(lineage["cleaning"]["fingerprint"])
        return {document.doc_id: document.digest for document in read_digests(cleaned)}
    except (OSError, ValueError, LookupError, TypeError, ArtifactError):
        return {}


def find_earlier(today: Sequence[Document], earlier: Iterable[Document]) -> dict[str, Document]:
    """The earlier document of each of today's that has one, by today's doc_id.

    It is the one with the same text. If there are several, the one with the same id, else one of the first split in
    `SPLITS`, so that no text that a model learned from becomes a test text. A document whose text is new continues the
    document with its id if the text of that one is gone: it was edited.
    """
    by_text: defaultdict[str, list[Document]] = defaultdict(list)
    by_id: dict[str, Document] = {}
    for document in earlier:
        if document.digest:
            by_text[document.digest].append(document)
        by_id[document.doc_id] = document
    texts = {document.digest for document in today}
    found: dict[str, Document] = {}
    for document in today:
        same_id = by_id.get(document.doc_id)
        if same_text := by_text.get(document.digest):
            found[document.doc_id] = _nearest(document, same_text)
        elif same_id is not None and (not same_id.digest or same_id.digest not in texts):
            found[document.doc_id] = same_id
    return found


def _nearest(document: Document, same_text: Sequence[Document]) -> Document:
    return min(same_text, key=lambda other: (other.doc_id != document.doc_id, SPLITS.index(other.split)))
