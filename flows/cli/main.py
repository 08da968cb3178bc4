"""The command line, `corpusflow`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from flows.ops import environment
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
stage_choice = click.Choice(STAGE_NAMES)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="corpusflow")
def cli() -> None:
    """Labelled texts in, a trained and evaluated classifier out.

    The pipeline is a chain of stages, each of which keeps what it made as Parquet (or a model, or a report) under
    data/: extraction, cleaning, splitting, vocabulary, tokenization, training, evaluation; then promotion and drift,
    which compare the model and the texts with the champion's. A stage runs again only when something that matters to it
    has changed.

    \b
    corpusflow run                          make everything that is not there yet
    corpusflow run --set training.epochs=3  the same, with one setting changed
    corpusflow why training                 why a stage ran, or was reused
    corpusflow inspect tokenization         look into what a stage made
    corpusflow predict letter.txt           label a text with the champion, the model in use

    Exit codes: 0 fine, 1 the run failed, 2 the input or the settings are wrong, 130 interrupted.
    """


@cli.command()
@config_option
@set_option
@json_option
def run(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run the pipeline: reuse what is unchanged, make the rest.

    Then print what each stage made and where it lies, the scores beside the baselines' and what became of the champion.

    \b
    corpusflow run --set training.epochs=1 --set training.seed=7   two settings changed for this run alone
    """
    from flows.pipeline.settings import load_settings, merge_overrides

    nested = merge_overrides(overrides)
    load_settings(config, nested)  # a mistake shows before anything starts
    environment.settle()
    environment.reach_server()
    from flows.retrain import retrain

    environment.speak_plainly()
    with environment.telling_when_the_server_is_lost():
        record = retrain(str(config), nested)
    from flows.cli import tables as display

    _print(display.run_as_json(record), as_json, display.show_run, record)


@cli.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE… | -", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--model", type=click.Path(path_type=Path), help="A model's folder; the champion by default.")
@config_option
@json_option
def predict(files: tuple[Path, ...], model: Path | None, config: Path, as_json: bool) -> None:
    """Label texts with the champion, the model in use.

    Each FILE holds one text in UTF-8; `-` reads one from standard input. A line per text: the likeliest label, and the
    probabilities of the three likeliest; --json has those of all labels. Where there is no champion, the newest model
    answers. `corpusflow predict-batch` labels whole folders and tables.

    \b
    corpusflow predict letter.txt report.txt
    corpusflow predict --json - < letter.txt
    """
    from flows.cli import tables as display
    from flows.steps.promotion import model_in_use
    from tasks.prediction.files import predict_files

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


def _store(config: Path) -> Any:
    from flows.pipeline.settings import load_settings
    from tasks.shared.store.artifacts import Store

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


from flows.cli import champion, crossvalidate, data, deploy, predict_batch  # noqa: E402,F401 (each adds commands)
