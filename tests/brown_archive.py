"""A miniature of brown.zip: the same layout, a few texts."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

NEWS = "\n\n\tThe/at jury/nn said/vbd ``/`` no/at evidence/nn ''/'' ./.\nIt/pps met/vbd ./.\n\n\n\tDone/vbn ./.\n"
HUMOR = "\n\n\tWhy/wrb ?/. ?/.\n"


def write_brown(folder: Path, texts: Mapping[str, str] | None = None, categories: str | None = None) -> Path:
    """An NLTK data folder's `corpora/brown.zip` with the texts, by id."""
    texts = {"cr01": HUMOR, "ca01": NEWS} if texts is None else texts
    corpora = folder / "corpora"
    corpora.mkdir(parents=True, exist_ok=True)
    genres = {"a": "news", "r": "humor"}
    lines = "".join(f"{doc_id} {genres[doc_id[1]]}\n" for doc_id in texts) if categories is None else categories
    with zipfile.ZipFile(corpora / "brown.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("brown/cats.txt", lines)
        for doc_id, text in texts.items():
            archive.writestr(f"brown/{doc_id}", text)
    return corpora / "brown.zip"
