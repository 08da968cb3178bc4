"""The command line, `corpusflow`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from flows import environment
from tasks.shared.errors import CorpusflowError

STAGE_NAMES = (
    "extraction",
    "cleaning",
    "splitting",
    "vocabulary",
    "tokenization",
    "training",
    "evaluation",
    "promotion",
    "drift",
)

config_option = click.option(
    "--config",
    "config",
    default="pipeline.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The settings file; its folder is where relative paths start.",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one setting for this call, for example --set training.epochs=3. May be given many times.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
stage_argument = click.argument("stage", type=click.Choice(STAGE_NAMES))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="corpusflow")
def cli() -> None:
    """Labelled texts in, a trained and evaluated classifier out.

    The pipeline is a chain of stages, each of which keeps what it made as Parquet (or a model, or a report) under
    data/: extraction, cleaning, splitting, vocabulary, tokenization, training, evaluation. A stage runs again only
    when something that matters to it has changed.

    \b
    corpusflow run                          make everything that is not there yet
    corpusflow run --set training.epochs=3  the same, with one setting changed
    corpusflow why training                 why a stage ran, or was reused
    corpusflow inspect tokenization         look into what a stage made
    corpusflow predict letter.txt           label a text with the champion

    Exit codes: 0 fine, 1 the run failed, 2 the input or the settings are wrong.
    """


@cli.command()
@config_option
@set_option
@json_option
def run(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run the pipeline: reuse what is unchanged, make the rest, print where everything lies."""
    from flows.settings import load_settings, merge_overrides

    nested = merge_overrides(overrides)
    load_settings(config, nested)  # a mistake shows before anything starts
    environment.settle()
    environment.reach_server()
    from flows.retrain import retrain

    environment.speak_plainly()
    with environment.telling_when_the_server_is_lost():
        record = retrain(str(config), nested)
    from flows import display

    _print(display.run_as_json(record), as_json, display.show_run, record)


@cli.command()
@click.argument("stage", type=click.Choice(STAGE_NAMES), required=False)
@click.option("--run", "run_id", help="The run's id, or its beginning; the newest run by default.")
@config_option
@json_option
def why(stage: str | None, run_id: str | None, config: Path, as_json: bool) -> None:
    """Say why each stage was reused or built, and which ingredient changed, from what to what."""
    from flows import display
    from tasks.shared.records import find_run

    record = find_run(_store(config), run_id)
    stages = [entry for entry in record.stages if stage in {None, entry.stage}]
    _print(display.why_as_json(record, stages), as_json, display.show_why, record, stages)


@cli.command()
@stage_argument
@config_option
def path(stage: str, config: Path) -> None:
    """Print the folder of a stage's newest artifact, for use in a shell."""
    from flows.stages import newest

    store = _store(config)
    click.echo(store.locate(newest(store, stage)))


@cli.command()
@stage_argument
@click.option("--rows", default=3, show_default=True, type=click.IntRange(0, 100), help="How many sample rows.")
@config_option
@json_option
def inspect(stage: str, rows: int, config: Path, as_json: bool) -> None:
    """Show what a stage made: columns, rows, label balance, lengths, sample rows, and how its check went."""
    from flows import display
    from flows.inspection import inspect_artifact
    from flows.stages import newest

    store = _store(config)
    found = inspect_artifact(store, newest(store, stage), rows)
    _print(found, as_json, display.show_inspection, found)


@cli.command()
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="How many runs, newest first.")
@config_option
@json_option
def runs(last: int, config: Path, as_json: bool) -> None:
    """List past runs with their result, and what the data folder takes on the disk."""
    from itertools import islice

    from flows import display
    from flows.housekeeping import disk_use
    from tasks.shared.records import all_runs, is_held

    store = _store(config)
    records, disk = list(islice(all_runs(store), last)), disk_use(store)
    for record in records:
        if record.status == "running" and not is_held(store, record.id):
            record.status = "interrupted"
    found = {"runs": [display.run_as_json(r) for r in records], "disk": disk}
    _print(found, as_json, display.show_runs, records, disk)


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE… | -", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--model", type=click.Path(path_type=Path), help="A model's folder; the champion by default.")
@config_option
@json_option
def predict(files: tuple[Path, ...], model: Path | None, config: Path, as_json: bool) -> None:
    """Label texts with the champion (the newest model where there is none); `-` reads from standard input."""
    from flows import display
    from flows.champion import model_in_use
    from flows.prediction import predict_files

    chosen = "chosen with --model"
    if model is None:
        store = _store(config)
        artifact, chosen = model_in_use(store)
        model = store.locate(artifact)
    if not as_json:
        click.echo(f"model {model.name}, {chosen}", err=True)
    predictions = predict_files(model, files)
    found = {"model": str(model), "chosen": chosen, "predictions": predictions}
    _print(found, as_json, display.show_predictions, predictions)


@cli.command()
@click.option("--keep", required=True, type=click.IntRange(1), help="How many artifacts of each stage to keep.")
@click.option(
    "--champions", default=3, show_default=True, type=click.IntRange(0), help="How many former champions stay."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@config_option
@json_option
def prune(keep: int, champions: int, dry_run: bool, config: Path, as_json: bool) -> None:
    """Remove old artifacts; what the newest report, the champion and running runs need always stays."""
    from flows import display
    from flows.housekeeping import prune_store

    removed = prune_store(_store(config), keep, dry_run, champions)
    _print({"dry_run": dry_run, "removed": removed}, as_json, display.show_pruned, removed, dry_run)


@cli.command()
@config_option
@json_option
def verify(config: Path, as_json: bool) -> None:
    """Hash every file of every artifact again; exit code 1 when something is damaged."""
    from flows import display
    from flows.housekeeping import verify_store

    found = verify_store(_store(config))
    _print({"artifacts": found}, as_json, display.show_verified, found)
    if any(entry["damage"] for entry in found):
        sys.exit(1)


def _store(config: Path) -> Any:
    from flows.settings import load_settings
    from tasks.shared.artifacts import Store

    return Store(load_settings(config).data)


def _print(value: Any, as_json: bool, show: Any, *arguments: Any) -> None:
    if as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=1))
    else:
        show(*arguments)


def main() -> None:
    """Runs the command; the user's mistakes and a run's failure end in one line on standard error."""
    try:
        cli(standalone_mode=False)
    except CorpusflowError as error:
        _stop(str(error), error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _stop("interrupted; nothing is half-written, and the next run goes on from here", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _stop(message: str, code: int) -> None:
    click.echo(f"corpusflow: {message}", err=True)
    sys.exit(code)


from flows import cli_batch, cli_champion, cli_crossvalidate, cli_deploy  # noqa: E402,F401 (each adds its command)
