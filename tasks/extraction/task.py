"""Extraction: labelled texts from their source into Parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.extraction import brown, folder, table
from tasks.extraction.document import document_rows, in_batches
from tasks.extraction.ordering import validate
from tasks.extraction.rows import Columns, TextFormat
from tasks.extraction.schema import DATASET, DOCUMENTS
from tasks.extraction.settings import BrownSource, ExtractionSettings
from tasks.shared.engine.stage import stage
from tasks.shared.errors import SettingsError
from tasks.shared.parquet import SortedWriter
from tasks.shared.progress import logger, progress
from tasks.shared.store.known_files import KnownFiles


def sources(settings: ExtractionSettings, known: KnownFiles | None = None) -> dict[str, str]:
    """sha256 of what the stage reads outside of the data folder."""
    if settings.source == "brown":
        return {"brown": brown.digest(_brown(settings.brown))}
    if settings.source == "folder":
        return {"folder": folder.digest(_path(settings), known)}
    return {"table": table.digest(_path(settings), known=known)}


def missing_source(settings: ExtractionSettings) -> Callable[[], Path] | None:
    """What downloads the Brown Corpus, if it is the source and this machine does not have it."""
    places = settings.brown
    if settings.source != "brown" or brown.find(brown.search_path(places.nltk_data, places.shared_nltk_data)):
        return None
    return partial(brown.download, places.nltk_data)


@stage(
    "extraction", folder="01_documents", libraries=("pyarrow",), external_digests=sources, missing_source=missing_source
)
def extract(settings: ExtractionSettings, out: Path) -> dict[str, Any]:
    """Writes every document of the chosen source, sorted by id."""
    labels: Counter[str] = Counter()
    characters = 0
    with SortedWriter(out / DATASET, DOCUMENTS) as writer:
        batches = validate(_batches(settings))
        for batch in progress(batches, "extraction", "documents", size=lambda batch: int(batch.num_rows)):
            writer.write(batch)
            counts = pc.value_counts(batch["label"])
            labels.update(dict(zip(*(counts.field(name).to_pylist() for name in ("values", "counts")), strict=True)))
            characters += pc.sum(pc.utf8_length(batch["text"])).as_py()
    logger("extraction").info(
        "extraction: %s documents, %s labels, %s characters", f"{writer.rows:,}", len(labels), f"{characters:,}"
    )
    return {"rows": writer.rows, "characters": characters, "labels": dict(sorted(labels.items()))}


def _batches(settings: ExtractionSettings) -> Iterator[pa.RecordBatch]:
    """The documents of the source, sorted by id, as rows."""
    if settings.source == "table":
        chosen = settings.table
        columns = Columns(chosen.text_column, chosen.label_column, chosen.doc_id_column, split=chosen.split_column)
        return table.batches(_path(settings), columns, TextFormat(chosen.encoding, chosen.separator))
    if settings.source == "folder":
        documents = folder.documents(_path(settings), settings.folder.encoding)
    else:
        documents = brown.documents(_brown(settings.brown))
    return (document_rows(batch, DOCUMENTS) for batch in in_batches(documents))


def _brown(places: BrownSource) -> Path:
    corpus = brown.find(brown.search_path(places.nltk_data, places.shared_nltk_data))
    if corpus is None:
        raise brown.not_found(places.nltk_data, "it has not been downloaded")
    return corpus


def _path(settings: ExtractionSettings) -> Path | str:
    path = settings.folder.path if settings.source == "folder" else settings.table.path
    if path is None:  # validation refuses this; only an unvalidated copy gets here
        raise SettingsError(f"extraction.{settings.source}.path is not set")
    return path
