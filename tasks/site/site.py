"""Writes the site into `data/site/`: every page whose content may have changed, and no other."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tasks.shared.checks import words
from tasks.shared.errors import one_line
from tasks.shared.files import write_text
from tasks.shared.progress import logger
from tasks.shared.store.artifacts import Store
from tasks.shared.store.fingerprint import digest_of
from tasks.shared.ui.style import PAGE_STYLE
from tasks.site.drawing.render import TEMPLATES, render
from tasks.site.plan import Page, plan
from tasks.site.reading.pairs import ask, path_of
from tasks.site.reading.shelf import Frame, Shelf

FOLDER, INDEX = "site", ".pages.json"
PAGE = re.compile(r"(\w+/)?[\w-]+\.html")
"""A path in the index of pages; nothing else is removed, whatever the index says."""


@dataclass(frozen=True)
class Written:
    """What a refresh did."""

    home: Path
    pages: int
    written: list[str]
    removed: list[str]


def site_folder(store: Store) -> Path:
    """The folder of the site."""
    return store.root / FOLDER


def refresh(store: Store, frame: Frame) -> Written:
    """Writes the pages that changed and removes those that are no longer part of the site.

    Raises OSError if the folder cannot be written. One process at a time writes.
    """
    with store.lock(FOLDER):
        return _refresh(Shelf(store, frame))


def compare(store: Store, frame: Frame, before: str, after: str) -> Path:
    """Adds a comparison of two runs or models to the site, to be written by `refresh`; returns where it will lie.

    Raises InputError if one of them is not known.
    """
    return site_folder(store) / path_of(ask(Shelf(store, frame), site_folder(store), before, after))


def _refresh(shelf: Shelf) -> Written:
    root = site_folder(shelf.store)
    known = _read_index(root)
    keys: dict[str, str] = {}
    written = []
    for page in plan(shelf, root):
        keys[page.path] = digest_of([version(), shelf.frame.name, shelf.frame.stages, shelf.frame.defaults, page.key])
        if known.get(page.path) != keys[page.path] or not (root / page.path).exists():
            write_text(root / page.path, _html(page, shelf.frame))
            written.append(page.path)
    removed = [path for path in known if path not in keys and PAGE.fullmatch(path)]
    for path in removed:
        (root / path).unlink(missing_ok=True)
    if written or removed:
        write_text(root / INDEX, json.dumps(keys, indent=0) + "\n")
    return Written(root / "index.html", len(keys), written, removed)


def _html(page: Page, frame: Frame) -> str:
    """The page; one that cannot be made says why, and keeps no other from being shown."""
    try:
        content = page.fill()
        return str(content["html"]) if page.template == "" else render(page.template, page.path, frame, content)
    except Exception as error:
        logger("site").debug("site: %s", page.path, exc_info=True)
        problem = f"{type(error).__name__}: {one_line(error)}"
        return render("problem.html", page.path, frame, {"title": page.path, "problem": problem})


def _read_index(root: Path) -> dict[str, str]:
    try:
        return dict(json.loads((root / INDEX).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


@cache
def version() -> str:
    """Digest of the templates and of the code that fills them."""
    files = [
        *sorted(Path(__file__).parent.rglob("*.py")),
        *sorted(TEMPLATES.iterdir()),
        PAGE_STYLE,
        Path(words.__file__),
    ]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:20]
