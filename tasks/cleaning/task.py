"""The cleaning stage: documents in; cleaned documents and dropped documents out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.cleaning.conflicts import describe, examples
from tasks.cleaning.judge import Candidates, Conflicts, judge, later_copies
from tasks.cleaning.labels import LabelCleaner
from tasks.cleaning.parts import finish_part, prepare_part, read_dropped, shingle_part
from tasks.cleaning.prepared import Prepared
from tasks.cleaning.schema import CONFLICTS, CONFLICTS_DATASET, DOCUMENTS, DROPPED, DROPPED_DATASET, FOLDER, dropped_by
from tasks.cleaning.settings import CleaningSettings
from tasks.extraction.document import read_documents
from tasks.extraction.schema import DATASET
from tasks.extraction.schema import DOCUMENTS as EXTRACTED
from tasks.shared.engine.stage import stage
from tasks.shared.errors import CorpusError
from tasks.shared.parquet import ONE_FILE, PartWriter
from tasks.shared.parts.beside import Beside
from tasks.shared.parts.kept import KeptParts
from tasks.shared.parts.make import Made, Work, collect, discard, make_parts
from tasks.shared.parts.part import Part, parts_of
from tasks.shared.progress import logger
from tasks.shared.runner.calls import IN_PROCESS

if TYPE_CHECKING:
    from pydantic import JsonValue

SIGNING = {"shingle_words", "permutations", "seed", "threshold"}
"""What `prepare_part` needs of the settings of duplicates."""


@stage("cleaning", folder=FOLDER, libraries=("pyarrow", "numpy", "rensa"))
def clean(
    settings: CleaningSettings,
    out: Path,
    *,
    documents: Path,
    scratch: Path,
    executor: Executor = IN_PROCESS,
    kept: KeptParts | None = None,
) -> dict[str, JsonValue]:
    """Normalizes and signs the documents part by part, decides about all of them, and writes the parts.

    Raises CorpusError for a label that is empty once cleaned, and for conflicting labels if the settings say so.
    """
    steps = _Steps(settings, parts_of(documents / DATASET), scratch, executor, kept)
    labels = LabelCleaner()
    prepared = steps.prepare()
    for counts in prepared.counts:
        for label, number in counts["labels"].items():
            labels.clean(label, number)
    reasons, found, decisions = steps.judge(prepared)
    sources = _sources(documents, found)
    conflicts = _judge_conflicts(found, sources, settings)
    _write_conflicts(found, sources, out / CONFLICTS_DATASET)
    rows, grouped = steps.finish(prepared, decisions, out)
    discard(scratch)
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


@dataclass(frozen=True)
class _Steps:
    """What is done with the parts, one step after the other."""

    settings: CleaningSettings
    parts: list[Part]
    scratch: Path
    executor: Executor
    kept: KeptParts | None

    def prepare(self) -> Made:
        """Normalizes and signs."""
        settings, options = self.settings, self.settings.duplicates
        signing = None if options.near == "keep" else options.model_dump(include=SIGNING)
        plain = (settings.normalization(), settings.min_characters, signing)
        self._place("texts").mkdir(parents=True, exist_ok=True)
        work = Work(
            prepare_part,
            (self._place("texts"), *plain),
            columns=("doc_id", "label", "text"),
            depends_on={"settings": plain},
        )
        return self._make(work, self.parts, "prepared")

    def judge(self, made: Made) -> tuple[Counter[str], Conflicts, Beside]:
        """Makes the shingles of what may be a near duplicate, and decides."""
        options = self.settings.duplicates
        prepared = Prepared(self.parts, made, self._place("bands"))
        repeated = prepared.facts(prepared.repeated())
        all_compared = options.near == "drop" or options.exact == "keep"  # else the first one stands for its copies
        left_out = np.zeros(0, np.int64) if all_compared else later_copies(repeated)
        candidates = Candidates(prepared, left_out)
        plain = self.settings.normalization(), options.shingle_words
        work = Work(
            shingle_part,
            (self._place("texts"), *plain),
            columns=("text",),
            depends_on={"settings": plain},
            beside=candidates.write(self._place("candidates.arrow")),
        )
        shingled = self._make(work, candidates.parts, "shingled")
        return judge(prepared, repeated, candidates, shingled, self._place("decisions.arrow"), self.settings)

    def finish(self, prepared: Made, decisions: Beside, out: Path) -> tuple[int, int]:
        """Writes the kept and the dropped documents; returns the numbers of the kept and of the grouped ones."""
        normalization = self.settings.normalization()
        work = Work(
            finish_part,
            (self._place("texts"), normalization),
            columns=tuple(EXTRACTED.names),
            depends_on={"settings": (normalization, self.settings.min_characters)},
            beside=decisions,
            after=prepared,
        )
        finished = self._make(work, self.parts, "finished")
        with PartWriter(out / DROPPED_DATASET, DROPPED) as dropped:
            for part in self.parts:
                for batch in read_dropped(finished.folder(part)):
                    dropped.write(batch)
        collect(finished, self.parts, ONE_FILE, out / DATASET)
        rows, grouped = (sum(part[name] for part in finished.counts) for name in ("rows", "grouped"))
        if not rows:
            with PartWriter(out / DATASET, DOCUMENTS):
                pass  # a dataset without rows
        return rows, grouped

    def _make(self, work: Work, parts: Sequence[Part], place: str) -> Made:
        return make_parts("cleaning", work, parts, self._place(place), self.executor, self.kept)

    def _place(self, name: str) -> Path:
        return self.scratch / name


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
