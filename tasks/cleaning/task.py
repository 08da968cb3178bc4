"""The cleaning stage: documents in; cleaned documents and dropped documents out."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.cleaning.conflicts import describe, examples
from tasks.cleaning.dropped import dropped_by
from tasks.cleaning.judge import Conflicts, judge
from tasks.cleaning.labels import LabelCleaner
from tasks.cleaning.parts import finish_part, prepare_part, read_dropped
from tasks.cleaning.schema import CONFLICTS, CONFLICTS_DATASET, DOCUMENTS, DROPPED, DROPPED_DATASET, FOLDER
from tasks.cleaning.settings import CleaningSettings
from tasks.extraction.document import read_documents
from tasks.extraction.schema import DATASET
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import ONE_FILE, PartWriter
from tasks.shared.parts.make import collect, discard, folder_of, make_parts
from tasks.shared.parts.part import Part, parts_of
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS

if TYPE_CHECKING:
    from pydantic import JsonValue


@stage("cleaning", folder=FOLDER, libraries=("pyarrow", "numpy", "rensa"))
def clean(
    settings: CleaningSettings, out: Path, *, documents: Path, scratch: Path, executor: Executor = IN_PROCESS
) -> dict[str, JsonValue]:
    """Normalizes and signs the documents part by part, decides about all of them, and writes the parts.

    Raises CorpusError for a label that is empty once cleaned, and for conflicting labels if the settings say so.
    """
    parts, prepared, decisions = parts_of(documents / DATASET), scratch / "prepared", scratch / "decisions"
    counts = make_parts("cleaning", prepare_part, parts, _plain(settings), prepared, executor)
    labels = LabelCleaner()
    for part in counts:
        for label, number in part["labels"].items():
            labels.clean(label, number)
    reasons, found = judge(parts, prepared, decisions, settings)
    sources = _sources(documents, found)
    conflicts = _judge_conflicts(found, sources, settings)
    _write_conflicts(found, sources, out / CONFLICTS_DATASET)
    finished = scratch / "finished"
    rows, grouped = _finish(parts, prepared, decisions, finished, out, executor)
    discard(prepared, decisions, finished)
    logger("cleaning").info("cleaning: %d kept, dropped: %s", rows, dropped_by(reasons))
    for warning in labels.warnings():
        logger("cleaning").warning("cleaning: %s", warning)
    return {
        "rows": rows,
        "grouped": grouped,
        "dropped": dict(sorted(reasons.items())),
        **conflicts,
        **labels.summary(),
    }


def _plain(settings: CleaningSettings) -> tuple[object, ...]:
    """What `prepare_part` needs of the settings."""
    duplicates = settings.duplicates.model_dump(include={"shingle_words", "permutations", "seed", "threshold"})
    return settings.normalization(), settings.min_characters, None if settings.duplicates.near == "keep" else duplicates


def _finish(
    parts: list[Part], prepared: Path, decisions: Path, place: Path, out: Path, executor: Executor
) -> tuple[int, int]:
    """Writes the kept and the dropped documents; returns the numbers of the kept and of the grouped ones."""
    counts = make_parts("cleaning", finish_part, parts, (prepared, decisions), place, executor)
    with PartWriter(out / DROPPED_DATASET, DROPPED) as dropped:
        for part in parts:
            for batch in read_dropped(folder_of(place, part)):
                dropped.write(batch)
    collect(place, parts, ONE_FILE, out / DATASET)
    rows, grouped = (sum(part[name] for part in counts) for name in ("rows", "grouped"))
    if not rows:
        with PartWriter(out / DATASET, DOCUMENTS):
            pass  # a dataset without rows
    return rows, grouped


def _sources(documents: Path, conflicts: Conflicts) -> dict[str, str]:
    """The sources of the documents of these texts, by doc_id: people find a row by its number, not by a hash."""
    wanted = {doc_id for of_text in conflicts.values() for doc_id in of_text}
    rows = read_documents(documents, ("doc_id", "source")) if wanted else ()
    return {document.doc_id: document.source for document in rows if document.doc_id in wanted}


def _judge_conflicts(conflicts: Conflicts, sources: dict[str, str], settings: CleaningSettings) -> dict[str, JsonValue]:
    """Warns of texts with more than one label, or stops; returns their number and examples for the summary."""
    if not conflicts:
        return {}
    found = {
        digest: {sources[doc_id]: label for doc_id, label in of_text.items()} for digest, of_text in conflicts.items()
    }
    policy = settings.conflicting_labels
    if policy == "fail":
        raise CorpusError(
            f"{describe(found)}; correct the labels, or set cleaning.conflicting_labels to warn or drop_both"
        )
    if policy == "drop_both":
        outcome = "none of their documents is kept"
    elif settings.duplicates.exact == "drop":
        outcome = "the first document of each is kept"
    else:
        outcome = "all of their documents are kept"
    logger("cleaning").warning("cleaning: %s; %s (cleaning.conflicting_labels: %s)", describe(found), outcome, policy)
    return {"conflicting_labels": len(found), "conflicts": dict(examples(found))}


def _write_conflicts(conflicts: Conflicts, sources: dict[str, str], folder: Path) -> None:
    with PartWriter(folder, CONFLICTS) as writer:
        for digest, of_text in conflicts.items():
            rows = ((doc_id, label, sources[doc_id]) for doc_id, label in of_text.items())
            writer.write([dict(zip(CONFLICTS.names, (digest, *row), strict=True)) for row in rows])
