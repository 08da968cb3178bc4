"""The command line, `corpusflow`."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from flows.cli.champion import champion
from flows.cli.crossvalidate import crossvalidate
from flows.cli.data import inspect, path, prune, runs, verify, why
from flows.cli.deploy import automations, serve
from flows.cli.predict import predict, predict_batch
from flows.cli.run import run
from flows.cli.site import site
from flows.ops.ending import code_of_signal, end, skip_exit_hooks
from flows.ops.terminal import abandon_output, on_one_line, output_error, prepare_streams, suit_hints
from tasks.shared.errors import CorpusflowError, out_of_memory
from tasks.shared.files import STORAGE_FAULTS


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="corpusflow")
def cli() -> None:
    """Train and evaluate a document classifier on labelled texts.

    The pipeline is a chain of stages: extraction, cleaning, splitting, vocabulary, tokenization, linear, training,
    stacking, evaluation, promotion and drift. Each stage writes an artifact under data/: Parquet files, a model or
    a report. The last two compare the new model, and the new texts, with the champion (the model in use) and its
    texts. A stage runs again only when something that it depends on has changed.

    \b
    corpusflow run                          build everything that is missing or out of date
    corpusflow run --set training.epochs=3  the same with one setting changed
    corpusflow why training                 show why a stage was built or reused
    corpusflow inspect tokenization         show a stage's newest artifact
    corpusflow site --open                  look at all of it in the browser
    corpusflow predict letter.txt           label a text with the champion

    Exit codes: 0 success, 1 the run failed, 2 the input or the settings are wrong, 130 interrupted
    (Ctrl-C), 143 terminated, 129 its terminal was closed.
    """


for command in (
    *(run, why, path, inspect, runs, site, prune, verify),
    *(predict, predict_batch, champion, crossvalidate, serve, automations),
):
    cli.add_command(command)


def main() -> None:
    """Runs the command; a user's mistake or a failed run prints one line on standard error."""
    prepare_streams()
    try:
        cli(standalone_mode=False)
        code = 0
    except BaseException as error:
        code = code_of_signal() or _explain(error)
    if (problem := output_error()) is not None:
        abandon_output()
        if not isinstance(problem, BrokenPipeError) and code == 0:  # a reader that has ended, as `head` does, is none
            _say(f"standard output cannot be written ({problem.strerror}); what the command did is done")
            code = 1
    end(code)


def _explain(error: BaseException) -> int:
    """Prints what a person needs to know about the error; returns the exit code. Raises it again if it is a bug."""
    match error:
        case CorpusflowError():
            _say(suit_hints(str(error)))
            return error.exit_code
        case click.ClickException():
            with suppress(OSError, ValueError):
                error.show()
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return 130
        case OSError() if output_error() is not None:
            return 0
        case OSError() if error.errno in STORAGE_FAULTS and error.filename is not None:
            _say(f"{error.filename}: {error.strerror}; the command stopped there")
            return 1
    if (no_memory := out_of_memory(error)) is not None:  # what Prefect makes of it, which had no memory either
        _say(str(no_memory))
        skip_exit_hooks()
        return no_memory.exit_code
    raise error


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # standard error is closed, or cannot be written either
        click.echo(f"corpusflow: {on_one_line(text)}", file=sys.stderr)
