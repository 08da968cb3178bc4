"""The promotion stage: compares the new model with the champion, and writes down what was decided and why.

It decides; the flow moves the pointer. Without a champion to compare with, the candidate is judged like a first model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.evaluation.inputs import read_texts
from tasks.promotion.schema import ANSWERS, COMPARISON, DECISION
from tasks.promotion.settings import PromotionSettings
from tasks.promotion.unseen import commonest_label, read_groups, read_trained_on, unseen
from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError
from tasks.shared.files import write_text
from tasks.shared.progress import logger

if TYPE_CHECKING:
    from pydantic import JsonValue

TEXTS_AT_ONCE = 256
log = logger("promotion")


@stage("promotion", folder="08_promotions", libraries=("numpy", "pyarrow", "torch", "tiktoken"))
def promote(
    settings: PromotionSettings,
    out: Path,
    *,
    cleaned: Path,
    splits: Path,
    model: Path,
    report: Path,
    champion: Path | None = None,
    champion_splits: Path | None = None,
) -> dict[str, JsonValue]:
    """Judges the candidate on documents of its test part that neither model was trained on.

    What the candidate answers stands in its report; the champion answers here, from texts that it cleans and encodes
    as it was trained to.
    """
    from tasks.promotion.decide import Rule, decide, decide_first

    rule = Rule(**{name: getattr(settings, name) for name in Rule.__dataclass_fields__})
    answers = _candidate_answers(report)
    new, theirs, fault = list(answers), None, ""
    if champion is not None and champion_splits is not None:
        groups = read_groups(splits)
        both = unseen({doc_id: groups[doc_id] for doc_id in answers}, groups, read_trained_on(champion_splits))
        log.info("promotion: %d of %d test documents are new to both models", len(both), len(answers))
        try:
            known = {label for label, _ in answers.values()}
            new, theirs = both, _champion_answers(champion, cleaned, both, known, settings.device)
        except ArtifactError as error:  # made by another version, or for other texts: it can neither be asked nor used
            new, fault = list(answers), f"the champion cannot be used ({error}); "
            log.warning("promotion: %sthe candidate is judged like a first model", fault)
    labels, ours = _columns(answers, new)
    if theirs is None:
        decision = decide_first(rule, labels, ours, commonest_label(splits))
    else:
        decision = decide(rule, labels, ours, theirs)
    decision = replace(decision, reason=fault + decision.reason)
    write_text(out / DECISION, json.dumps(asdict(decision), indent=1, ensure_ascii=False) + "\n")
    rows: list[Sequence[str | None]] = [new, labels, ours, [None] * len(new) if theirs is None else theirs]
    pq.write_table(pa.table([pa.array(row, pa.string()) for row in rows], schema=ANSWERS), out / COMPARISON)
    return {"rows": len(new), **asdict(decision), "test_documents": len(answers)}


def _candidate_answers(report: Path) -> dict[str, tuple[str, str]]:
    """Label and answer of each document of the test part."""
    table = pq.read_table(report / "predictions.parquet", columns=["doc_id", "label", "predicted"])
    return {doc_id: (label, answer) for doc_id, label, answer in zip(*table.to_pydict().values(), strict=True)}


def _columns(answers: Mapping[str, tuple[str, str]], doc_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    return [answers[doc_id][0] for doc_id in doc_ids], [answers[doc_id][1] for doc_id in doc_ids]


def _champion_answers(
    champion: Path, cleaned: Path, doc_ids: Sequence[str], labels: Set[str], device: str
) -> list[str]:
    if not doc_ids:
        return []
    from tasks.prediction.text_classifier import TextClassifier  # torch

    classifier = TextClassifier(champion, device)
    texts = read_texts(cleaned, doc_ids)
    names = classifier.label_names
    if labels.isdisjoint(names):
        raise ArtifactError(f"{champion}: knows none of the labels of these texts, but {', '.join(names[:3])}, …")
    return [
        names[int(row.argmax())]
        for start in range(0, len(doc_ids), TEXTS_AT_ONCE)
        for row in classifier.probabilities([texts[doc_id] for doc_id in doc_ids[start : start + TEXTS_AT_ONCE]])
    ]
