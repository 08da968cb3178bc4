"""`corpusflow predict | predict-batch`: labels texts with the champion."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from flows.cli.options import config_option, json_option, open_store, print_result
from flows.ops.environment import prefect_session
from flows.ops.terminal import on_one_line
from tasks.shared.errors import InputError, RunError


def _text_encoding(_: click.Context, __: click.Parameter, name: str) -> str:
    from tasks.extraction.settings import known_encoding

    try:
        return known_encoding(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE… | -", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--encoding", default="utf-8", show_default=True, callback=_text_encoding, help="The texts' encoding.")
@click.option("--model", type=click.Path(path_type=Path), help="A model's folder; the champion by default.")
@click.option("--explain", is_flag=True, help="Show the words and pairs that spoke for and against the label.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="How many of them for each text.")
@config_option
@json_option
def predict(
    files: tuple[Path, ...], encoding: str, model: Path | None, explain: bool, top: int, config: Path, as_json: bool
) -> None:
    """Label texts with the champion, the model in use.

    Each FILE holds one text; `-` reads one from standard input. A file without text is named, the others get their
    labels, and the exit code is 1. Prints a line per text: the most probable
    label, and the probabilities of the three most probable ones; --json has the probabilities of all labels. Without a
    champion, the newest model is used. `corpusflow predict-batch` labels whole folders and tables.

    \b
    corpusflow predict letter.txt report.txt
    corpusflow predict --json - < letter.txt
    corpusflow predict --explain letter.txt      why this label and not the second one
    """
    from flows.cli import tables
    from tasks.prediction.files import predict_files
    from tasks.shared.store.champion import model_in_use, verified_model

    if sum(str(file) == "-" for file in files) > 1:
        raise InputError("-: standard input is given twice; it has one text")
    if model is None:
        store = open_store(config)
        artifact, chosen = model_in_use(store)
        model = store.locate(artifact)
    else:
        chosen = "chosen with --model"
        verified_model(model, "train again, or choose another model")
    if not as_json:
        click.echo(f"model {model.name}, {chosen}", file=sys.stderr)
    predictions, refused = predict_files(model, files, encoding, top if explain else None)
    if len(files) == len(refused) == 1:
        raise InputError(refused[0]["reason"])
    result = {"model": str(model), "chosen": chosen, "predictions": predictions, "refused": refused}
    print_result(result, as_json, tables.show_predictions, predictions)
    for refusal in refused:
        click.echo(f"corpusflow: {on_one_line(refusal['reason'])}", file=sys.stderr)
    if refused:
        raise RunError(f"{len(refused):,} of {len(files):,} files got no label")


@click.command("predict-batch")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--text-column", default="text", show_default=True, help="The table's column with the text.")
@click.option("--doc-id-column", help="The table's column with a unique id of each text; by default file and row.")
@click.option("--encoding", default="utf-8", show_default=True, help="The encoding of the texts; Parquet has its own.")
@click.option("--separator", help="The character between a CSV's columns, or tab; by default a comma, in .tsv a tab.")
@click.option("--part-rows", default=10_000, show_default=True, type=click.IntRange(1), help="Texts per Parquet part.")
@config_option
@json_option
def predict_batch(
    source: Path,
    text_column: str,
    doc_id_column: str | None,
    encoding: str,
    separator: str | None,
    part_rows: int,
    config: Path,
    as_json: bool,
) -> None:
    """Label every text of a folder or a table, into Parquet.

    Uses the champion. After an interruption, run the same command again: finished parts are kept.

    \b
    corpusflow predict-batch letters                                 every file of a folder
    corpusflow predict-batch mail.csv --text-column body             every row of a table
    """
    with prefect_session():
        from flows.predict import predict

        result = predict(str(source), text_column, doc_id_column, encoding, separator, part_rows, str(config))
    print_result(result, as_json, click.echo, os.fsencode(result["path"]))
