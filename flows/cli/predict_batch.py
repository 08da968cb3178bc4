"""`corpusflow predict-batch`: labels a folder or a table with the champion."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.main import _print, cli, config_option, json_option
from flows.ops import environment


@cli.command("predict-batch")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--text-column", default="text", show_default=True, help="The table's column with the text.")
@click.option("--doc-id-column", help="The table's column with a name for each text; file and row by default.")
@click.option("--encoding", default="utf-8", show_default=True, help="The encoding of the files in a folder.")
@click.option("--part-rows", default=10_000, show_default=True, type=click.IntRange(1), help="Texts in a part.")
@config_option
@json_option
def predict_batch(
    source: Path,
    text_column: str,
    doc_id_column: str | None,
    encoding: str,
    part_rows: int,
    config: Path,
    as_json: bool,
) -> None:
    """Label all texts of a folder or a table, into Parquet.

    The champion answers. Call it again after an interruption: parts that are finished are not done again.

    \b
    corpusflow predict-batch letters                                 every file of a folder
    corpusflow predict-batch mail.csv --text-column body             every row of a table
    """
    environment.settle()
    environment.reach_server()
    from flows.predict import predict

    environment.speak_plainly()
    found = predict(str(source), text_column, doc_id_column, encoding, part_rows, str(config))
    _print(found, as_json, click.echo, found["path"])
