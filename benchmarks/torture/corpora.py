"""Hostile corpora: each is read with the number of documents that it has, or refused in one line that says why."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path

from benchmarks.torture.hostile_dialects import (
    dialect_cases,
    folder_dialect_cases,
    json_dialect_cases,
    parquet_file_cases,
    parquet_folder_cases,
)
from benchmarks.torture.hostile_folders import Case, folder_cases
from benchmarks.torture.hostile_tables import csv_cases, json_cases, parquet_cases
from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.state import one_line
from benchmarks.torture.texts import configure, write_corpus

READ = "hostile corpora: read with the stated number of documents, or one line that names the place"
SHOWN = "script in labels and texts: no page runs it"
STOP = "checks.extraction.documents=999999"
"""Stops a run after extraction, with the number of documents."""


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    plain = (folder_cases(), csv_cases(), json_cases(), parquet_cases())
    dialects = (
        folder_dialect_cases(),
        dialect_cases(),
        json_dialect_cases(),
        parquet_folder_cases(),
        parquet_file_cases(),
    )
    cases = list(chain(*plain, *dialects))
    step = max(1, round(1 / share))
    for case in cases[::step]:
        yield Trial(READ, f"{READ}: {case.name}", partial(read, lab, case))
    yield Trial(SHOWN, SHOWN, partial(show, lab))


def read(lab: Lab, case: Case, folder: Path, _: random.Random) -> str | None:
    """Runs extraction and its check; what must be refused is refused there, or goes on."""
    place = folder / (case.table or "texts")
    case.write(place)
    table = {"source": "table", "table": {"path": case.table}} if case.table else {}
    configure(folder, extraction=table, **case.settings)
    stop = ("--set", STOP) if case.documents is not None else ()
    done = lab.launcher.run(folder, "run", *stop)
    counted = case.documents is not None and f"found {case.documents:,}" in done.message
    if counted and "check of extraction" in done.message:
        return one_line(done)
    if case.words is None:
        return f"expected {case.documents} documents: {done.message}"
    if done.code == 0:
        return "read, though it must be refused"
    return one_line(done, *case.words)


class _Scripts(HTMLParser):
    """Collects what a browser would run, if a text or a label could bring it in."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        self.found += [
            f"<{tag} {n}={v}>" for n, v in attrs if "torture" in (v or "") and (n.startswith("on") or n == "src")
        ]

    def handle_data(self, data: str) -> None:
        if self._inside and "alert('torture')" in data:
            self.found.append(data[:80])
        self._inside = False


def show(lab: Lab, folder: Path, _: random.Random) -> str | None:
    """A whole run over such labels and texts; its pages are parsed, and opened in a browser where there is one."""
    attack = "<script>alert('torture')</script><img src=torture onerror=alert('torture')>"
    write_corpus(folder / "texts")
    (folder / "texts/label0").rename(folder / "texts/<script>alert('torture')<")
    for path in (folder / "texts").rglob("*.txt"):
        path.write_text(f"{attack} {path.read_text()} {attack}")
    configure(folder)
    done = lab.launcher.run(folder, "run", pictures=True)
    if done.code != 0:
        return f"the run ends with code {done.code}: {done.message}"
    pages = list((folder / "data").rglob("*.html"))
    for page in pages:
        parser = _Scripts()
        parser.feed(page.read_text())
        if parser.found:
            return f"{page.relative_to(folder)}: {parser.found[0]}"
    if not pages:
        return "no page"
    chromium = shutil.which("chromium")
    lab.notes[SHOWN] = f"{len(pages)} pages, {'opened in Chromium' if chromium else 'parsed; there is no Chromium'}"
    return open_pages(chromium, pages) if chromium else None


def open_pages(chromium: str, pages: list[Path]) -> str | None:
    """The first page that runs a script of a text or a label: it would open a dialog."""
    from playwright.sync_api import Dialog, sync_playwright

    ran: list[str] = []

    def close(dialog: Dialog) -> None:
        ran.append(f"{tab.url}: {dialog.message}")
        dialog.dismiss()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.on("dialog", close)
        for page in pages:
            tab.goto(page.as_uri(), wait_until="load")
            tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        browser.close()
    return ran[0] if ran else None
