"""`corpusflow serve | automations`: what a deployed pipeline needs in addition to Prefect's own commands."""

from __future__ import annotations

import click

from flows.ops.environment import PROJECT, configure_prefect, prefect_session


@click.command()
@click.option("--port", default=4200, show_default=True, type=click.IntRange(1, 65535), help="The server's port.")
def serve(port: int) -> None:
    """Run Prefect on this machine, with all deployments.

    Starts a server, a work pool, the deployments and a worker; Ctrl-C stops them all.
    """
    configure_prefect()
    from flows.ops.serve import serve as serve_all

    serve_all(port, PROJECT / "data" / "prefect" / "logs")


@click.command()
def automations() -> None:
    """Create or update the automations on Prefect's server.

    Sends every file in automations/ to the server, and prints the automations' names.
    """
    with prefect_session():
        from flows.ops.automations import apply_automations

        names = apply_automations(PROJECT / "automations")
    for name in names:
        click.echo(name)
