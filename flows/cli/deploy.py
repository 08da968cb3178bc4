"""`corpusflow serve | automations`: what a deployed pipeline needs besides Prefect's own commands."""

from __future__ import annotations

import click

from flows.ops import environment


@click.command()
@click.option("--port", default=4200, show_default=True, type=click.IntRange(1, 65535), help="The server's port.")
def serve(port: int) -> None:
    """Start Prefect on this machine, deployments and all.

    Server, work pool, deployments and worker, until Ctrl-C stops them all.
    """
    environment.settle()
    from flows.ops.serve import serve as serve_all

    serve_all(port, environment.PROJECT / "data" / "prefect" / "logs")


@click.command()
def automations() -> None:
    """Bring what stands in automations/ to Prefect's server.

    Automations that are there already are renewed; their names are printed.
    """
    environment.settle()
    environment.reach_server()
    from flows.ops.automations import bring_automations

    for name in bring_automations(environment.PROJECT / "automations"):
        click.echo(name)
