"""`corpusflow site`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.options import config_option, json_option, print_result
from flows.ops.terminal import suit_hints

if TYPE_CHECKING:
    from tasks.site.site import Written


@click.command()
@click.option("--open", "opened", is_flag=True, help="Open the first page in the browser.")
@click.option(
    "--compare",
    "compared",
    nargs=2,
    metavar="BEFORE AFTER",
    help="Add a page with two runs or models side by side: the start of a run's id, or of a model's fingerprint.",
)
@config_option
@json_option
def site(opened: bool, compared: tuple[str, str] | None, config: Path, as_json: bool) -> None:
    """Write the site: pages that show what every run made.

    The pages lie under data/site/ and need neither a server nor a network: the champion and its scores over time, the
    graph of every run and why each stage was built, the tables and texts of every stage with its check, two models
    side by side. Every run writes them too. Only pages whose content changed are written.

    \b
    corpusflow site --open                    write what changed, and look at it
    corpusflow site --compare 20261123 3f9c   a run and a model side by side
    """
    from flows.pipeline.settings import load_settings
    from flows.pipeline.site import frame_of, write_site
    from tasks.shared.store.artifacts import Store

    settings = load_settings(config)
    page = None
    if compared:
        from tasks.site.site import compare

        page = compare(Store(settings.data), frame_of(settings), *compared)
    done = write_site(settings)
    if opened and not webbrowser.open((page or done.home).resolve().as_uri()):
        click.echo("site: no browser could be opened; the page is named below", err=True)
    print_result(_as_json(done, page), as_json, _show, done, page)


def _as_json(done: Written, page: Path | None) -> dict[str, Any]:
    return {
        "site": str(done.home),
        "comparison": None if page is None else str(page),
        "pages": done.pages,
        "written": done.written,
        "removed": done.removed,
    }


def _show(done: Written, page: Path | None) -> None:
    click.echo(suit_hints(f"{page or done.home}"))
    click.echo(f"{done.pages:,} pages, {len(done.written):,} written, {len(done.removed):,} removed")
