"""What the commands print: tables for people, and for scripts JSON with the same content."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.ops.terminal import on_one_line, suit_hints
from tasks.prediction.explained import explanation_lines
from tasks.shared.checks.words import MARKS
from tasks.shared.errors import one_line
from tasks.shared.store.records import RunRecord, StageRecord
from tasks.shared.ui.markdown import size


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to `main`, which exits with 0 if the reader of the output has ended; rich would exit with 1."""
        raise BrokenPipeError


console = _Console(highlight=False, soft_wrap=True, width=max(160, shutil.get_terminal_size().columns))


def run_as_json(record: RunRecord) -> dict[str, Any]:
    """A run as `run --json` prints it."""
    kept = {"stage", "status", "rows", "seconds", "bytes", "path"}
    return {
        "run": record.id,
        "status": record.status,
        "started": record.started,
        "seconds": record.seconds,
        "stages": [entry.model_dump(mode="json", include=kept) for entry in record.stages],
        "metrics": record.metrics,
        "decision": record.decision,
        "message": record.message,
    }


def show_run(record: RunRecord) -> None:
    """The stages, the scores of the model and the baselines, the report's path, and the decision about the champion."""
    table = _table("stage", "", ">rows", ">seconds", ">size", "where")
    for entry in record.stages:
        row = (entry.stage, entry.status, f"{entry.rows:,}", f"{entry.seconds:.1f}", size(entry.bytes), entry.path)
        table.add_row(*map(escape, row))
    console.print(table)
    if record.metrics is not None:
        _show_metrics(record.metrics)
        folder = escape(_path(record, "evaluation"))
        console.print(f"\nreport  {folder}/report.html")
        if counts := record.metrics.get("doubtful_labels"):  # not in records of version 0.1
            share = f"{counts['documents']:,} of {counts['labelled']:,} are worth a second look"
            console.print(f"labels  {share}: {folder}/doubtful_labels.parquet")
    if record.decision:
        console.print(f"promotion  {escape(suit_hints(record.decision))}")
    page = Path(record.settings["data"]) / "site" / "runs" / f"{record.id}.html"
    if page.exists():
        console.print(f"site    {escape(str(page))}")
    console.print(f"run     {record.id}, {record.seconds:.1f} s{f', {record.message}' if record.message else ''}")


def _path(record: RunRecord, stage: str) -> str:
    return next((entry.path for entry in record.stages if entry.stage == stage), "")


def _show_metrics(metrics: Mapping[str, Any]) -> None:
    table = _table("test split", ">accuracy", ">95 % interval", ">macro-F1", ">95 % interval")
    for name, scores in {"model": metrics, **metrics["baselines"]}.items():
        cells = _score_cells((scores[key], scores[f"{key}_interval"]) for key in ("accuracy", "macro_f1"))
        table.add_row(escape(name), *cells)
    console.print(table)


def why_as_json(record: RunRecord, stages: Sequence[StageRecord], stage: str | None) -> dict[str, Any]:
    """Why each stage was built or reused, as `why --json` prints it."""
    kept = {"stage", "status", "reasons", "parts", "fingerprint"}
    done = [entry.model_dump(mode="json", include=kept) for entry in stages]
    return {"run": record.id, "stages": done, "stopped": _stopped(record, stage)}


def _stopped(record: RunRecord, stage: str | None) -> dict[str, Any] | None:
    """The stage that the run ended in, and why it was being built; None if there is none, or `stage` is another."""
    if not record.current_reasons or stage not in {None, record.current_stage}:
        return None
    return {"stage": record.current_stage, "reasons": record.current_reasons}


def show_why(record: RunRecord, stages: Sequence[StageRecord], stage: str | None) -> None:
    """A line per stage, and one per reason; with a `stage`, about that one."""
    console.print(f"run {record.id}, {record.status}")
    for entry in stages:
        console.print(f"{entry.stage:<13} {entry.status}" + ("" if entry.reasons else ": nothing relevant has changed"))
        for reason in [*entry.reasons, *filter(None, [entry.parts])]:
            console.print(f"{'':<13} {escape(reason)}")
    if stopped := _stopped(record, stage):
        console.print(f"{stopped['stage']:<13} not finished")
        for reason in stopped["reasons"]:
            console.print(f"{'':<13} {escape(reason)}")
    if record.status in {"failed", "interrupted"} and record.message:
        console.print(f"{record.status}: {escape(record.message)}")


def show_runs(records: Sequence[RunRecord], disk: Mapping[str, int]) -> None:
    """A line per run, and one about disk usage."""
    table = _table("run", "flow", "status", ">seconds", ">built", ">reused", ">accuracy", ">macro-F1", "")
    for r in records:
        built = sum(entry.status == "built" for entry in r.stages)
        figures = [f"{r.metrics[key]:.3f}" if r.metrics else "" for key in ("accuracy", "macro_f1")]
        message = r.message if len(r.message) <= 70 else f"{r.message[:69]}…"
        counts = (f"{r.seconds:.1f}", str(built), str(len(r.stages) - built))
        table.add_row(r.id, r.flow, r.status, *counts, *figures, escape(message))
    console.print(table if records else suit_hints("no runs yet; `corpusflow run` starts one"))
    if disk:
        folders = ", ".join(f"{name} {size(count)}" for name, count in disk.items() if count)
        console.print(f"\ndisk    {size(sum(disk.values()))}: {escape(folders)}")


def show_inspection(inspected: Mapping[str, Any]) -> None:
    """The result of `inspect_artifact`, dataset by dataset."""
    summary = f"{inspected['rows']:,} rows, {size(inspected['bytes'])}, made {inspected['created']}"
    console.print(f"{inspected['stage']}  {summary}")
    console.print(escape(inspected["path"]))
    for key, value in inspected["summary"].items():
        console.print(f"  {escape(key)}: {escape(str(value))}")
    for name, dataset in inspected["datasets"].items():
        console.print(f"\n[bold]{escape(name)}[/bold]  {dataset['rows']:,} rows")
        for column, kind in dataset["schema"].items():
            console.print(f"  {escape(column):<24} {escape(kind)}")
        for column, counts in dataset["counts"].items():
            line = ", ".join(f"{value} {count:,}" for value, count in counts.items())
            console.print(f"  {escape(column)}: {escape(line)}")
        for column, quantiles in dataset["lengths"].items():
            line = ", ".join(f"{name} {value:,.0f}" for name, value in quantiles.items())
            console.print(f"  length of {escape(column)}: {line}")
        for row in dataset["sample"]:
            console.print("  · " + escape("  ".join(f"{k}={v}" for k, v in row.items())))
    _show_checks(inspected["checks"])


def _show_checks(checks: Sequence[Mapping[str, Any]] | None) -> None:
    if checks is None:
        console.print("\nno check results")
        return
    console.print(f"\nchecks: {sum(c['success'] for c in checks)} of {len(checks)} expectations hold")
    for c in checks:
        about = f"{c['column']}: " if c["column"] else ""
        line = f"{MARKS[c['verdict']]} {c['batch']}: {about}{c['limit']}; {c['found']} ({c['reason']})"
        console.print(f"  {escape(one_line(line, 400))}")


def show_predictions(predictions: Sequence[Mapping[str, Any]]) -> None:
    """A line per text: the label, and the most probable labels; below it the explanation, if there is one."""
    for entry in predictions:
        best = sorted(entry["probabilities"].items(), key=lambda item: -item[1])[:3]
        likely = ", ".join(f"{label} {p:.2f}" for label, p in best)
        console.print(
            f"{escape(on_one_line(entry['source']))}: [bold]{escape(entry['label'])}[/bold]  ({escape(likely)})"
        )
        for line in explanation_lines(entry["explanation"]) if "explanation" in entry else ():
            console.print(escape(line))


def show_pruned(removed: Sequence[Mapping[str, Any]], dry_run: bool) -> None:
    """A line per folder, and the total."""
    for entry in removed:
        console.print(f"{size(entry['bytes']):>10}  {escape(entry['path'])}")
    verb = "would be removed" if dry_run else "removed"
    console.print(f"{size(sum(entry['bytes'] for entry in removed))} in {len(removed)} folders {verb}")


def show_verified(artifacts: Sequence[Mapping[str, Any]]) -> None:
    """A line per damaged artifact, what to do about it, and the number of intact ones."""
    for entry in artifacts:
        if entry["damage"]:
            console.print(f"damaged  {escape(entry['damage'])}")
    intact = sum(not entry["damage"] for entry in artifacts)
    if intact < len(artifacts):
        hint = "`corpusflow run` builds what it needs of them again; delete those that are still damaged after it"
        console.print(suit_hints(hint))
    console.print(f"{intact} of {len(artifacts)} artifacts are intact")


def show_crossvalidation(summary: Mapping[str, Any]) -> None:
    """A table of the model's and the baselines' scores, one of the labels' scores, and the path of the result."""
    table = _table("all documents", ">accuracy", ">", ">macro-F1", ">", ">model ahead by", ">", ">p")
    measures = ("accuracy", "macro_f1")
    model = [(summary[name]["mean"], (summary[name]["low"], summary[name]["high"])) for name in measures]
    table.add_row("model", *_score_cells(model))
    for name, b in summary["baselines"].items():
        scores = [(b[measure], b[f"{measure}_interval"]) for measure in measures]
        lead = " … ".join(f"{bound:+.3f}" for bound in b["accuracy_difference_interval"])
        table.add_row(
            escape(name), *_score_cells(scores), f"{b['accuracy_difference']:+.3f}", lead, f"{b['p_value']:.2g}"
        )
    console.print(table)
    labels = _table("label", ">texts", ">precision", ">recall", ">F1", ">")
    for name, b in summary["per_label"].items():
        cells = (f"{b['precision']:.3f}", f"{b['recall']:.3f}", *_score_cells([(b["f1"], b["f1_interval"])]))
        labels.add_row(escape(name), str(b["support"]), *cells)
    console.print(labels)
    folds = f"{len(summary['folds']) // summary['repeats']} folds × {summary['repeats']}"
    console.print(f"{folds}, {summary['documents']:,} texts, seed {summary['seed']}")
    console.print(f"training took {summary['seconds_per_fold']:.1f} s per fold")
    console.print(f"result  {escape(summary['path'])}")


def _score_cells(scores: Iterable[tuple[float, Sequence[float]]]) -> list[str]:
    """Two cells for each score: the score and its interval."""
    return [cell for score, interval in scores for cell in (f"{score:.3f}", "–".join(f"{v:.3f}" for v in interval))]


def _table(*columns: str) -> Table:
    """A table with these titles; a `>` before a title aligns its column to the right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left", no_wrap=True)
    return table
