"""Options and helpers that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from flows.ops.terminal import as_json as to_json
from flows.ops.terminal import remember_config


class StageName(click.ParamType[str]):
    """The name of a stage; the stages are imported only when one is given, so that `--help` stays fast."""

    name = "stage"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a stage."""
        from flows.pipeline.stages import STAGES

        return click.Choice(tuple(STAGES)).convert(value, param, ctx)


def _remember_config(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    remember_config(None if value == Path("pipeline.yaml") else value)
    return value


config_option = click.option(
    "--config",
    "config",
    default="pipeline.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    callback=_remember_config,
    help="The settings file; paths in it are relative to its folder.",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one setting for this call, for example --set training.epochs=3. May be given several times.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
stage_argument = click.argument("stage", type=StageName(), metavar="STAGE")


def open_store(config: Path) -> Any:
    """The data folder that the settings file names."""
    from flows.pipeline.settings import load_settings
    from tasks.shared.store.artifacts import Store

    return Store(load_settings(config).data)


def refresh_site(config: Path) -> None:
    """Writes the site's pages that changed; a failure only warns."""
    from flows.pipeline.settings import load_settings
    from flows.pipeline.site import refresh_after

    refresh_after(load_settings(config))


def print_result(value: Any, as_json: bool, show: Any, *arguments: Any) -> None:
    """Prints `value` as JSON, or calls `show` with the arguments."""
    if as_json:
        click.echo(to_json(value), file=sys.stdout)
    else:
        show(*arguments)
