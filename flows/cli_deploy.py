"""`corpusflow serve | automations`: what a deployed pipeline needs besides Prefect's own commands."""

from __future__ import annotations

import click

from flows import environment
from flows.cli import cli


@cli.command()
@click.option("--port", default=4200, show_default=True, type=click.IntRange(1, 65535), help="The server's port.")
def serve(port: int) -> None:
    """Start server, work pool, deployments and worker on this machine; Ctrl-C stops them all."""
    environment.settle()
    from flows.serve import serve as serve_all

    serve_all(port, environment.PROJECT / "data" / "prefect" / "logs")


@cli.command()
def automations() -> None:
    """Bring the automations of automations/ to the server, creating or renewing them."""
    environment.settle()
    environment.reach_server()
    from flows.automations import bring_automations

    for name in bring_automations(environment.PROJECT / "automations"):
        click.echo(name)
