"""The promotion stage: compares the new model with the champion, and writes the decision and its reason.

The flow then moves the pointer. Without a champion to compare with, the candidate is judged like a first model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.cleaning.labels import clean_label
from tasks.evaluation.schema import PREDICTIONS
from tasks.promotion.schema import COMPARISON, COMPARISON_SCHEMA, DECISION
from tasks.promotion.settings import PromotionSettings
from tasks.promotion.unseen import commonest_label, find_new, find_new_labels
from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError
from tasks.shared.files import write_text
from tasks.shared.progress import logger
from tasks.splitting.documents import find_texts
from tasks.splitting.earlier import read_splits_with_digests

if TYPE_CHECKING:
    from pydantic import JsonValue

log = logger("promotion")


@stage("promotion", folder="09_promotions", libraries=("numpy", "pyarrow", "scipy", "torch", "tiktoken"))
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
    """Compares both models on the documents of the candidate's test split that neither was trained on.

    The candidate's predictions come from its report. The champion predicts here, cleaning and tokenizing the texts as
    in its own training.
    """
    from tasks.promotion.decide import Rule, decide, decide_first, mention_new_labels

    rule = Rule(**{name: getattr(settings, name) for name in Rule.__dataclass_fields__})
    predicted = _candidate_predictions(report)
    doc_ids, champion_labels, fault = list(predicted), None, ""
    if champion is not None and champion_splits is not None:
        new = find_new(read_splits_with_digests(splits), read_splits_with_digests(champion_splits))
        log.info("promotion: %d of %d test documents are new to both models", len(new), len(predicted))
        try:
            known = {label for label, _ in predicted.values()}
            champion_labels = _champion_predictions(champion, cleaned, new, known, settings.device)
            doc_ids = new
        except ArtifactError as error:  # made by another version, or trained on other labels
            fault = f"the champion cannot be used ({error}); "
            log.warning("promotion: %sthe candidate is judged like a first model", fault)
    labels, candidate_labels = ([predicted[doc_id][column] for doc_id in doc_ids] for column in (0, 1))
    if champion_labels is None or champion_splits is None:
        decision = decide_first(rule, labels, candidate_labels, commonest_label(splits))
    else:
        decision = decide(rule, labels, candidate_labels, champion_labels)
        new_labels = find_new_labels(splits, champion_splits)
        decision = mention_new_labels(rule, decision, new_labels, labels, candidate_labels, champion_labels)
    decision = replace(decision, reason=fault + decision.reason)
    write_text(out / DECISION, json.dumps(asdict(decision), indent=1, ensure_ascii=False) + "\n")
    columns: list[Sequence[str | None]] = [doc_ids, labels, candidate_labels, champion_labels or [None] * len(doc_ids)]
    arrays = [pa.array(column, pa.string()) for column in columns]
    pq.write_table(pa.table(arrays, schema=COMPARISON_SCHEMA), out / COMPARISON)
    return {"rows": len(doc_ids), **asdict(decision), "test_documents": len(predicted)}


def _candidate_predictions(report: Path) -> dict[str, tuple[str, str]]:
    """Label and predicted label of each document of the test split."""
    table = pq.read_table(report / PREDICTIONS, columns=["doc_id", "label", "predicted"])
    return {doc_id: (label, answer) for doc_id, label, answer in zip(*table.to_pydict().values(), strict=True)}


def _champion_predictions(
    champion: Path, cleaned: Path, doc_ids: Sequence[str], labels: Set[str], device: str
) -> list[str]:
    if not doc_ids:
        return []
    from tasks.prediction.text_classifier import TextClassifier  # torch

    classifier = TextClassifier(champion, device)
    texts = dict(find_texts(cleaned, doc_ids))
    names = [clean_label(name) for name in classifier.label_names]
    if labels.isdisjoint(names):
        raise ArtifactError(f"{champion}: knows none of the labels of these texts, but {', '.join(names[:3])}, …")
    return [names[int(row.argmax())] for row in classifier.probabilities([texts[doc_id] for doc_id in doc_ids])]
