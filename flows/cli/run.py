"""`corpusflow run`."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.options import config_option, json_option, print_result, set_option
from flows.ops.environment import prefect_session


@click.command()
@config_option
@set_option
@json_option
def run(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Run the pipeline: reuse what is unchanged, build the rest.

    Prints the folder of each stage's artifact, the scores of the model and of the baselines, and whether the model
    became the champion.

    \b
    corpusflow run --set training.epochs=1 --set training.seed=7   two settings changed for this run only
    """
    from flows.pipeline.settings import load_settings, merge_overrides

    nested = merge_overrides(overrides)
    load_settings(config, nested)  # reports a mistake before anything starts
    with prefect_session():
        from flows.retrain import retrain

        record = retrain(str(config), nested)
    from flows.cli import tables

    print_result(tables.run_as_json(record), as_json, tables.show_run, record)
