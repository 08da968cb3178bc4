"""Labels many texts with the champion: a folder or a table in, Parquet out, part by part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.pipeline.naming import explain_failure, run_name
from flows.pipeline.parameters import Config
from flows.pipeline.runs import open_pipeline
from tasks.prediction.batch import PredictionJob, predict_parts
from tasks.prediction.unlabelled import Source, read_texts, source_digest
from tasks.shared.files import storage_faults
from tasks.shared.progress import logger
from tasks.shared.store.champion import model_in_use


@flow(name="predict", flow_run_name=run_name, on_failure=[explain_failure], persist_result=False)
def predict(
    source: Annotated[str, Field(min_length=1)],
    text_column: Annotated[str, Field(min_length=1)] = "text",
    doc_id_column: str | None = None,
    encoding: str = "utf-8",
    part_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000,
    config: Config = "pipeline.yaml",
) -> dict[str, Any]:
    """Labels every text of a folder or a table with the champion.

    Parts that are finished are kept when a run is interrupted: the next one with the same texts and the same model
    goes on behind them.

    Args:
        source: A folder of text files, or a .parquet, .csv, .jsonl or .ndjson file.
        text_column: The table's column with the text.
        doc_id_column: The table's column with a name for each text; without one, file and row name it.
        encoding: The encoding of the files in a folder.
        part_rows: Texts in a part, which is what is lost at most when a run is interrupted.
        config: The settings file, from the project's folder; its data folder holds the champion and the predictions.
    """
    _, store = open_pipeline(config)
    texts = Source(Path(source), text_column, doc_id_column, encoding)
    with storage_faults(store.root):
        model, which = model_in_use(store)
        logger("predict").info("predict: model %s, %s", model.fingerprint, which)
        job = PredictionJob(store, model, source_digest(texts), part_rows)
        return predict_parts(job, read_texts(texts), texts.path)
