"""`corpusflow champion`: shows which model is in use, and replaces it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.options import config_option, json_option, open_store, print_result, refresh_site
from flows.ops.terminal import suit_hints

if TYPE_CHECKING:
    from tasks.shared.store.artifacts import Store
    from tasks.shared.store.champion import Champion


@click.command()
@click.option("--set", "chosen", metavar="ID", help="The model to make champion: its fingerprint, or the start of it.")
@click.option("--rollback", is_flag=True, help="Go back to the previous champion.")
@config_option
@json_option
def champion(chosen: str | None, rollback: bool, config: Path, as_json: bool) -> None:
    """Show the champion, the model in use, or replace it.

    A run never again promotes a model that was replaced by hand.

    \b
    corpusflow champion                      its folder, and when and why each champion was chosen
    corpusflow champion --set 3f9c           choose the model whose fingerprint starts with 3f9c
    corpusflow champion --rollback           go back to the previous champion
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
    if chosen is not None or rollback:
        refresh_site(config)
    current = read_champion(store)
    print_result(_as_json(store, current), as_json, _show, store, current)


def _as_json(store: Store, current: Champion | None) -> dict[str, Any]:
    from tasks.shared.store.artifacts import find_damage
    from tasks.shared.store.champion import MODELS

    if current is None:
        return {"champion": None, "history": []}
    place = store.place(MODELS, current.current.model)
    champion = {**current.current.model_dump(), "path": str(place), "damage": find_damage(place)}
    return {"champion": champion, "history": [promotion.model_dump() for promotion in reversed(current.history)]}


def _show(store: Store, current: Champion | None) -> None:
    from rich.markup import escape

    from flows.cli.tables import console

    if current is None:
        hint = "no champion yet; `corpusflow run` promotes the first good model, --set ID chooses one by hand"
        console.print(suit_hints(hint))
        return
    shown = _as_json(store, current)
    console.print(f"{escape(shown['champion']['path'])}")
    if shown["champion"]["damage"]:
        console.print(f"[bold]damaged[/bold]  {escape(shown['champion']['damage'])}")
    for entry in shown["history"]:
        console.print(f"{entry['since'][:19]}  {entry['model']}  {entry['by']:<9}  {escape(entry['reason'])}")
