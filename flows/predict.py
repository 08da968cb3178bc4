"""Labels the texts of a folder or a table with the champion, into Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from pydantic import Field

from flows.pipeline.parameters import Config
from flows.pipeline.runs import explain_failure, open_pipeline, run_name
from tasks.prediction.batch import PredictionJob, predict_parts
from tasks.prediction.unlabelled import Source, read_texts, source_digest
from tasks.shared.files import explain_storage_errors
from tasks.shared.progress import logger
from tasks.shared.store.champion import model_in_use


@flow(name="predict", flow_run_name=run_name, on_failure=[explain_failure], persist_result=False)
def predict(
    source: Annotated[str, Field(min_length=1)],
    text_column: Annotated[str, Field(min_length=1)] = "text",
    doc_id_column: str | None = None,
    encoding: str = "utf-8",
    separator: str | None = None,
    part_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000,
    config: Config = "pipeline.yaml",
) -> dict[str, Any]:
    """Labels every text of a folder or a table with the champion.

    Finished parts are kept when a run is interrupted: the next run with the same texts and the same model continues
    after them.

    Args:
        source: A folder of text files; a .parquet, .csv, .tsv, .jsonl or .ndjson file; or a folder of Parquet parts.
        text_column: The table's column with the text.
        doc_id_column: The table's column with a unique name of each text; by default file and row.
        encoding: The encoding of the texts; Parquet has its own.
        separator: The character between the columns of a CSV, or tab; by default a comma, in .tsv a tab.
        part_rows: Texts per Parquet part; an interrupted run loses at most one part.
        config: The settings file, relative to the project's folder; it names the data folder with the champion, where
            the predictions go too.
    """
    _, store = open_pipeline(config)
    texts = Source(Path(source), text_column, doc_id_column, encoding, separator)
    with explain_storage_errors(store.root, "predict"):
        model, which = model_in_use(store)
        logger("predict").info("predict: model %s, %s", model.fingerprint, which)
        job = PredictionJob(store, model, source_digest(texts), part_rows)
        return predict_parts(job, read_texts(texts), texts.path)
