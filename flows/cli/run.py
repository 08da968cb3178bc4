"""`corpusflow run`."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.options import config_option, json_option, print_result, set_option
from flows.ops import environment


@click.command()
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
    from flows.cli import tables

    print_result(tables.run_as_json(record), as_json, tables.show_run, record)
