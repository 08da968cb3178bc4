"""Repeated stratified cross-validation: scores of the settings on all documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from prefect import flow
from pydantic import Field

from flows.fold import run_fold
from flows.pipeline.parameters import Config, Overrides
from flows.pipeline.runs import explain_failure, open_run, read_metrics, run_name
from flows.pipeline.settings import load_settings
from flows.steps.fold_spec import FoldResult, FoldSpec
from tasks.cleaning.task import clean
from tasks.evaluation.crossvalidation import FoldPredictions, summarise
from tasks.evaluation.results import Resampling
from tasks.evaluation.schema import BASELINE_PREDICTIONS, PREDICTIONS
from tasks.extraction.task import extract
from tasks.shared.files import replacing, write_text
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Store

KEY = ("repeat", "fold", "doc_id", "label", "predicted")
"""Columns of the predictions that do not belong to a baseline."""


@flow(name="crossvalidate", flow_run_name=run_name, on_failure=[explain_failure], persist_result=False)
def crossvalidate(
    config: Config = "pipeline.yaml",
    overrides: Overrides | None = None,
    folds: Annotated[int, Field(ge=3, le=100)] = 5,
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1,
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0,
) -> dict[str, Any]:
    """Tests on every document once per repeat, each time with a model that was trained on the other folds only.

    A fold that was finished before, with the same settings, is reused.

    Args:
        config: The settings file, relative to the project's folder.
        overrides: Settings for this run only, nested like the file: {"training": {"epochs": 3}}.
        folds: Number of folds that the documents are divided into.
        repeats: How many times the documents are divided, each time with another seed.
        seed: Seed of the first division; each repeat adds one.
    """
    evaluation = load_settings(Path(config), overrides).evaluation
    with open_run("crossvalidate", config, overrides, latest=False) as run:
        documents = run(extract)
        cleaned = run(clean, documents=documents)
        specs = [
            FoldSpec(
                config=config,
                overrides=overrides or {},
                repeat=repeat,
                fold=fold,
                folds=folds,
                seed=seed + repeat,
                cleaned=cleaned,
            )
            for repeat in range(repeats)
            for fold in range(folds)
        ]
        results = _log_results(map(run_fold, specs), len(specs))
        results.sort(key=lambda result: (result.repeat, result.fold))
        predictions = gather(results)
        names = tuple(read_metrics(Path(results[0].report))["labels"])
        resampling = Resampling(evaluation.bootstrap_samples, evaluation.confidence, evaluation.seed)
        summary = {
            "run": run.record.id,
            **summarise(answers(predictions, names), resampling),
            "seconds_per_fold": fmean(result.seconds for result in results),
            "folds": [result.model_dump() for result in results],
            "seed": seed,
        }
        summary["path"] = str(_save(run.store, summary, predictions))
        run.record.metrics = {name: summary[name]["mean"] for name in ("accuracy", "macro_f1")}
    return summary


def gather(results: Iterable[FoldResult]) -> pa.Table:
    """One row per repeat and document: label, the model's prediction, and a column with each baseline's prediction."""
    tables = []
    for result in results:
        predictions = pq.read_table(Path(result.report) / PREDICTIONS, columns=["doc_id", "label", "predicted"])
        baselines = pq.read_table(Path(result.report) / BASELINE_PREDICTIONS)
        place = {name: pa.array([getattr(result, name)] * len(predictions), pa.int32()) for name in ("repeat", "fold")}
        columns = place | dict(zip(predictions.column_names, predictions.columns, strict=True))
        columns |= {name: baselines[name] for name in baselines.column_names if name != "doc_id"}
        tables.append(pa.table(columns))
    return pa.concat_tables(tables).sort_by([("repeat", "ascending"), ("doc_id", "ascending")])


def answers(predictions: pa.Table, label_names: Sequence[str]) -> FoldPredictions:
    """The predictions as class ids, [repeats, documents]."""
    number = {name: i for i, name in enumerate(label_names)}
    repeats = len(predictions["repeat"].unique())

    def ids(column: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        flat = np.array([number[name] for name in predictions[column].to_pylist()], np.int64)
        return flat.reshape(repeats, -1)

    baselines = {name: ids(name) for name in predictions.column_names if name not in KEY}
    return FoldPredictions(tuple(label_names), ids("label")[0], ids("predicted"), baselines)


def _log_results(results: Iterable[FoldResult], total: int) -> list[FoldResult]:
    """The results as a list; logs each as it arrives, with the mean accuracy so far."""
    done: list[FoldResult] = []
    for result in results:
        done.append(result)
        logger("crossvalidate").info(
            "crossvalidate: %d of %d folds; repeat %d, fold %d %s: accuracy %.3f, trained in %.0f s; so far %.3f",
            len(done),
            total,
            result.repeat + 1,
            result.fold + 1,
            result.status,
            result.accuracy,
            result.seconds,
            sum(r.accuracy * r.documents for r in done) / sum(r.documents for r in done),
        )
    return done


def _save(store: Store, summary: Mapping[str, Any], predictions: pa.Table) -> Path:
    """Writes `<run>.json` and `<run>.parquet`; the JSON last, so that it never exists without the predictions."""
    path = store.root / "crossvalidation" / f"{summary['run']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = path.with_suffix(".parquet")
    with replacing(table) as unfinished:
        pq.write_table(predictions, unfinished)
    write_text(path, json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return path
