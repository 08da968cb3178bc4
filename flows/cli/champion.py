"""`corpusflow champion`: shows which model is in use, and moves it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.options import config_option, json_option, open_store, print_result

if TYPE_CHECKING:
    from tasks.shared.store.artifacts import Store
    from tasks.shared.store.champion import Champion


@click.command()
@click.option("--set", "chosen", metavar="ID", help="Make this model the champion: its fingerprint, or the beginning.")
@click.option("--rollback", is_flag=True, help="Go back to the champion before this one.")
@config_option
@json_option
def champion(chosen: str | None, rollback: bool, config: Path, as_json: bool) -> None:
    """Show the model in use and its history, or move it by hand.

    A model that is taken out of use by hand stays so: no run brings it back by itself.

    \b
    corpusflow champion                      where it lies, since when and why
    corpusflow champion --set 3f9c           the model whose fingerprint begins so
    corpusflow champion --rollback           the one before it again
    """
    from tasks.shared.store.champion import find_model, read_champion, roll_back, set_champion

    if chosen is not None and rollback:
        raise click.UsageError("--set and --rollback exclude each other")
    store = open_store(config)
    if chosen is not None:
        model = find_model(store, chosen)
        present = read_champion(store)
        if present is None or present.current.model != model.fingerprint:
            set_champion(store, model, "hand", "chosen by hand")
    elif rollback:
        roll_back(store)
    found = read_champion(store)
    print_result(_as_json(store, found), as_json, _show, store, found)


def _as_json(store: Store, found: Champion | None) -> dict[str, Any]:
    from tasks.shared.store.artifacts import damage
    from tasks.shared.store.champion import MODELS

    if found is None:
        return {"champion": None, "history": []}
    place = store.place(MODELS, found.current.model)
    here = {**found.current.model_dump(), "path": str(place), "damage": damage(place)}
    return {"champion": here, "history": [promotion.model_dump() for promotion in reversed(found.history)]}


def _show(store: Store, found: Champion | None) -> None:
    from rich.markup import escape

    from flows.cli.tables import console

    if found is None:
        console.print("no champion yet; `corpusflow run` makes the first good model one, --set ID chooses by hand")
        return
    here = _as_json(store, found)
    console.print(f"{escape(here['champion']['path'])}")
    if here["champion"]["damage"]:
        console.print(f"[bold]damaged[/bold]  {escape(here['champion']['damage'])}")
    for promotion in here["history"]:
        console.print(
            f"{promotion['since'][:19]}  {promotion['model']}  {promotion['by']:<9}  {escape(promotion['reason'])}"
        )
