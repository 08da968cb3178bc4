"""Repeated stratified cross-validation: how good the settings are, told on all documents."""

from __future__ import annotations

import json
import os
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
from flows.pipeline.naming import explain_failure, run_name
from flows.pipeline.parameters import Config, Overrides
from flows.pipeline.runs import open_run, read_metrics
from flows.pipeline.settings import load_settings
from flows.steps.fold_spec import FoldOrder, FoldResult
from flows.steps.folds import run_folds
from tasks.cleaning.task import clean
from tasks.evaluation.crossvalidation import FoldPredictions, summarise
from tasks.evaluation.results import Resampling
from tasks.evaluation.schema import BASELINE_PREDICTIONS, PREDICTIONS
from tasks.extraction.task import extract
from tasks.shared.files import write_text
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Store

KEY = ("repeat", "fold", "doc_id", "label", "predicted")
"""Columns of the predictions that are no baseline's."""


@flow(name="crossvalidate", flow_run_name=run_name, on_failure=[explain_failure], persist_result=False)
def crossvalidate(
    config: Config = "pipeline.yaml",
    overrides: Overrides | None = None,
    folds: Annotated[int, Field(ge=3, le=100)] = 5,
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1,
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0,
    jobs: Annotated[int, Field(ge=1)] = 1,
) -> dict[str, Any]:
    """Tests on every document once per repeat, each time with a model that learned from the other folds alone.

    A fold that was finished before, with the same settings, is reused.

    Args:
        config: The settings file, from the project's folder.
        overrides: Settings for this run alone, nested like the file: {"training": {"epochs": 3}}.
        folds: Parts that the documents are divided into.
        repeats: How many times they are divided anew.
        seed: Seed of the first division; each repeat adds one.
        jobs: Folds at once, in processes of their own.
    """
    evaluation = load_settings(Path(config), overrides).evaluation
    with open_run("crossvalidate", config, overrides, latest=False) as run:
        documents = run(extract)
        cleaned = run(clean, documents=documents)
        orders = [
            FoldOrder(
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
        results = _told(run_folds(orders, jobs, run_fold), len(orders))
        results.sort(key=lambda result: (result.repeat, result.fold))
        predictions = gather(results)
        names = tuple(read_metrics(Path(results[0].report))["labels"])
        resampling = Resampling(evaluation.bootstrap_samples, evaluation.confidence, evaluation.seed)
        found = {
            "run": run.record.id,
            **summarise(answers(predictions, names), resampling),
            "seconds_per_fold": fmean(result.seconds for result in results),
            "folds": [result.model_dump() for result in results],
            "seed": seed,
        }
        found["path"] = str(_keep(run.store, found, predictions))
        run.record.metrics = {name: found[name]["mean"] for name in ("accuracy", "macro_f1")}
    return found


def gather(results: Iterable[FoldResult]) -> pa.Table:
    """One row per repeat and document: label, what the model said, and a column of what each baseline said."""
    tables = []
    for result in results:
        predictions = pq.read_table(Path(result.report) / PREDICTIONS, columns=["doc_id", "label", "predicted"])
        baselines = pq.read_table(Path(result.report) / BASELINE_PREDICTIONS)
        place = {name: pa.array([getattr(result, name)] * len(predictions), pa.int32()) for name in ("repeat", "fold")}
        columns = place | dict(zip(predictions.column_names, predictions.columns, strict=True))
        columns |= {name: baselines[name] for name in baselines.column_names if name != "doc_id"}
        if result.bag_of_embeddings is not None:
            bag = pq.read_table(Path(result.bag_of_embeddings) / PREDICTIONS, columns=["doc_id", "predicted"])
            columns["bag_of_embeddings"] = bag["predicted"]
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


def _told(results: Iterable[FoldResult], total: int) -> list[FoldResult]:
    """The results; each is said when it comes, with the mean so far."""
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


def _keep(store: Store, found: Mapping[str, Any], predictions: pa.Table) -> Path:
    """Writes the result, and the predictions beside it; the result comes last, so that both are there or none."""
    path = store.root / "crossvalidation" / f"{found['run']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".parquet")
    unfinished = beside.with_name(f".{beside.name}-{os.getpid()}")
    pq.write_table(predictions, unfinished)
    unfinished.replace(beside)
    write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return path
