"""`corpusflow crossvalidate`."""

from __future__ import annotations

from pathlib import Path

import click

from flows.cli.options import config_option, json_option, print_result, set_option
from flows.ops.environment import prefect_session


@click.command()
@click.option(
    "--folds",
    default=5,
    show_default=True,
    type=click.IntRange(3, 100),
    help="Each fold is the test split once.",
)
@click.option(
    "--repeats",
    default=1,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="How many times the texts are divided.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**31),
    help="Seed of the first division; each repeat adds one.",
)
@set_option
@config_option
@json_option
def crossvalidate(folds: int, repeats: int, seed: int, overrides: tuple[str, ...], config: Path, as_json: bool) -> None:
    """Test on every text: repeated, stratified cross-validation.

    The texts are divided into folds with the same label shares. For each fold, a vocabulary and a model are trained on
    the other folds only and tested on this one, so it takes about as long as one run per fold. Prints accuracy and
    macro-F1 over all texts, with intervals, for the model and for the baselines on the same folds; p is the
    probability of a lead at least this large by chance. Finished folds are kept: after an interruption, run the same
    command again. The `latest` links and the champion do not change.

    \b
    corpusflow crossvalidate                  5 folds, once
    corpusflow crossvalidate --repeats 3      15 folds
    """
    from flows.pipeline.settings import load_settings, merge_overrides

    nested = merge_overrides(overrides)
    load_settings(config, nested)  # reports a mistake before anything starts
    with prefect_session():
        from flows.crossvalidate import crossvalidate as run

        summary = run(str(config), nested, folds, repeats, seed)
    from flows.cli import tables

    print_result(summary, as_json, tables.show_crossvalidation, summary)
