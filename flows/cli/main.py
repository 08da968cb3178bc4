"""The command line, `corpusflow`."""

from __future__ import annotations

import sys

import click

from flows.cli.champion import champion
from flows.cli.crossvalidate import crossvalidate
from flows.cli.data import inspect, path, prune, runs, verify, why
from flows.cli.deploy import automations, serve
from flows.cli.predict import predict, predict_batch
from flows.cli.run import run
from tasks.shared.errors import CorpusflowError


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


for command in (
    *(run, why, path, inspect, runs, prune, verify),
    *(predict, predict_batch, champion, crossvalidate, serve, automations),
):
    cli.add_command(command)


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
