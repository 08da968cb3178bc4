"""`corpusflow crossvalidate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from flows.cli.options import config_option, json_option, set_option
from flows.ops import environment


@click.command()
@click.option(
    "--folds", default=5, show_default=True, type=click.IntRange(3, 100), help="Parts; each is the test part once."
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
    help="Seed of the first division; then one more.",
)
@click.option(
    "--jobs",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Folds at once, in processes that share the cores.",
)
@set_option
@config_option
@json_option
def crossvalidate(
    folds: int, repeats: int, seed: int, jobs: int, overrides: tuple[str, ...], config: Path, as_json: bool
) -> None:
    """Test on every text: repeated, stratified cross-validation.

    The texts are divided into folds that are alike in their labels. Each fold is tested on with a vocabulary and a
    model that were learned from the others alone, which takes as long as that many runs. Then come accuracy and
    macro-F1 over all texts with their intervals, beside the baselines on the same folds; p says how easily chance
    brings about such a lead. Finished folds are kept: after an interruption, the same command goes on. Neither the
    newest model nor the champion changes.

    \b
    corpusflow crossvalidate                          5 folds, once
    corpusflow crossvalidate --repeats 3 --jobs 2     15 trainings, two at a time
    """
    from flows.pipeline.settings import load_settings, merge_overrides

    nested = merge_overrides(overrides)
    load_settings(config, nested)  # a mistake shows before anything starts
    environment.settle()
    environment.reach_server()
    from flows.crossvalidate import crossvalidate as run

    environment.speak_plainly()
    with environment.telling_when_the_server_is_lost():
        found = run(str(config), nested, folds, repeats, seed, jobs)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        show(found)


def show(found: Mapping[str, Any]) -> None:
    """The scores beside the baselines', then the labels, then where the result lies."""
    from rich.markup import escape

    from flows.cli.tables import console

    table = _table("all documents", "accuracy", "", "macro-F1", "", "model ahead by", "", "p")
    model = [text for name in ("accuracy", "macro_f1") for text in _score(found[name]["mean"], _bounds(found[name]))]
    table.add_row("model", *model)
    for name, b in found["baselines"].items():
        ahead = (f"{b['accuracy_difference']:+.3f}", _interval(b["accuracy_difference_interval"], "+.3f"))
        scores = [text for key in ("accuracy", "macro_f1") for text in _score(b[key], b[f"{key}_interval"])]
        table.add_row(escape(name), *scores, *ahead, f"{b['p_value']:.2g}")
    console.print(table)
    labels = _table("label", "texts", "precision", "recall", "F1", "")
    for name, b in found["per_label"].items():
        scores = [f"{b[key]:.3f}" for key in ("precision", "recall")]
        labels.add_row(escape(name), str(b["support"]), *scores, *_score(b["f1"], b["f1_interval"]))
    console.print(labels)
    each = f"{len(found['folds']) // found['repeats']} folds × {found['repeats']}, {found['documents']:,} texts"
    console.print(f"{each}, seed {found['seed']}; training took {found['seconds_per_fold']:.1f} s a fold")
    console.print(f"kept    {escape(found['path'])}")


def _table(*titles: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for position, title in enumerate(titles):
        table.add_column(title, justify="right" if position else "left")
    return table


def _score(value: float, interval: tuple[float, float]) -> tuple[str, str]:
    return f"{value:.3f}", _interval(interval)


def _bounds(found: Mapping[str, float]) -> tuple[float, float]:
    return found["low"], found["high"]


def _interval(interval: tuple[float, float], form: str = ".3f") -> str:
    return (
        "–".join(format(value, form) for value in interval)
        if form == ".3f"
        else " … ".join(format(value, form) for value in interval)
    )
