"""The splitting stage: cleaned documents in, the split of each document out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.extraction.document import Document, read_documents
from tasks.shared.batched import batched
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import PartWriter
from tasks.shared.progress import logger
from tasks.splitting.assign import assign_fold, assign_splits
from tasks.splitting.earlier import find_earlier, read_splits_with_digests
from tasks.splitting.given import assign_given, has_given_splits
from tasks.splitting.schema import DATASET, SPLITS, SPLITS_SCHEMA
from tasks.splitting.settings import SplittingSettings

if TYPE_CHECKING:
    from pydantic import JsonValue

BATCH_ROWS = 65_536


def _has_common_documents(settings: SplittingSettings, earlier: Path, inputs: Mapping[str, Path]) -> bool:
    """Whether earlier splits have any of the documents, by text or by id.

    A fold always starts afresh, and so do splits that the corpus comes with.
    """
    if settings.fold is not None or has_given_splits(_read_cleaned(inputs["cleaned"])):
        return False
    known = read_splits_with_digests(earlier)
    names = {document.digest for document in known if document.digest} | {document.doc_id for document in known}
    return any({document.digest, document.doc_id} & names for document in _read_cleaned(inputs["cleaned"]))


@stage(
    "splitting",
    folder="03_splits",
    libraries=("pyarrow", "numpy", "scikit-learn"),
    continues=_has_common_documents,
)
def split(
    settings: SplittingSettings, out: Path, *, cleaned: Path, previous: Path | None = None
) -> dict[str, JsonValue]:
    """Reads ids, labels, groups and digests, never the texts, and writes the split of each document.

    `previous` are earlier splits, whose texts stay where they are; a fold ignores them. Splits that the corpus comes
    with are honoured. Raises CorpusError for a fold of such a corpus.
    """
    documents = sorted(_read_cleaned(cleaned))
    shares = {name: getattr(settings, name) for name in SPLITS}
    moved = 0
    found: dict[str, JsonValue] = {}
    if has_given_splits(documents):
        if settings.fold is not None:
            raise CorpusError(
                "the corpus comes with its splits, and a cross-validation draws its own; set "
                "extraction.table.split_column to null for it"
            )
        assigned, found = assign_given(documents, shares, settings.seed, settings.small_labels)
    elif settings.fold is None:
        known = {} if previous is None else find_earlier(documents, read_splits_with_digests(previous))
        before = {doc_id: document.split for doc_id, document in known.items()}
        assigned = assign_splits(documents, shares, settings.seed, settings.small_labels, before)
        moved = sum(assigned.get(doc_id, name) != name for doc_id, name in before.items())
    else:
        fold = settings.fold
        assigned = assign_fold(documents, shares, fold.count, fold.index, settings.seed, settings.small_labels)
    rows = (d._replace(split=assigned[d.doc_id])._asdict() for d in documents if d.doc_id in assigned)
    with PartWriter(out / DATASET, SPLITS_SCHEMA) as writer:
        for batch in batched(rows, BATCH_ROWS):
            writer.write(batch)
    counts = Counter(assigned.values())
    logger("splitting").info("splitting: %s", ", ".join(f"{counts[name]} {name}" for name in SPLITS))
    return {
        "rows": writer.rows,
        **{name: counts[name] for name in SPLITS},
        "dropped": len(documents) - writer.rows,
        "moved": moved,
        **found,
    }


def _read_cleaned(cleaned: Path) -> Iterator[Document]:
    return read_documents(cleaned, ("doc_id", "label", "group", "digest", "given_split"))
