"""The page of a report: the report itself in the frame of the site."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.evaluation.schema import REPORT
from tasks.site.drawing.render import render
from tasks.site.reading.pairs import report_of
from tasks.site.reading.shelf import Shelf


def report_content(shelf: Shelf, name: str, links: Mapping[str, str]) -> dict[str, str]:
    """The report in the frame of the site, with links to its run and to the artifacts that it was made from."""
    run = next((record for record in reversed(shelf.records) if report_of(record) == name), None)
    origin = {"run": run, "made_from": made_from(shelf, name, links)}
    nav = render("nav.html", "reports/x", shelf.frame, origin)
    file = shelf.of_stage("evaluation", name).path / REPORT
    html = file.read_text(encoding="utf-8")
    reachable = html.replace('<div class="scroll">', '<div class="scroll" tabindex="0">')  # scrolled by keyboard
    return {"html": reachable.replace("<body>", f"<body>\n{nav}", 1)}


def made_from(shelf: Shelf, report: str, links: Mapping[str, str]) -> dict[str, str]:
    """The pages of the artifacts that a report was made from, by stage; what has no page is left out."""
    manifest = shelf.of_stage("evaluation", report).manifest
    made = {stage: shelf.in_lineage(manifest, stage) for stage in manifest.lineage} if manifest else {}
    found = {stage: links.get(f"{shelf.folders.get(stage)}/{e.path.name}", "") for stage, e in made.items() if e}
    return {stage: link for stage, link in found.items() if link}
