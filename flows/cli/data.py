"""`corpusflow why | path | inspect | runs | prune | verify`: looks into the data folder, and keeps it in order."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from flows.cli.options import config_option, json_option, open_store, print_result, stage_choice


@click.command()
@click.argument("stage", type=stage_choice, metavar="[STAGE]", required=False)
@click.option("--run", "run_id", metavar="ID", help="The run's id, or its beginning; the newest run by default.")
@config_option
@json_option
def why(stage: str | None, run_id: str | None, config: Path, as_json: bool) -> None:
    """Say why each stage of a run was reused or built.

    A stage is built when one of its ingredients has changed: its settings, the content of what it reads, the code that
    it reaches, the libraries. Each that did is named, from what to what. `corpusflow runs` lists the runs.

    \b
    corpusflow why                      every stage of the newest run
    corpusflow why training --run 2026  one stage of the newest run of that year
    """
    from flows.cli import tables
    from tasks.shared.store.records import find_run

    record = find_run(open_store(config), run_id)
    stages = [entry for entry in record.stages if stage in {None, entry.stage}]
    print_result(tables.why_as_json(record, stages), as_json, tables.show_why, record, stages)


@click.command()
@click.argument("stage", type=stage_choice, metavar="STAGE")
@config_option
def path(stage: str, config: Path) -> None:
    """Print the folder of what a stage made last.

    It stands alone on standard output, for use in a shell; STAGE is one of those that `corpusflow --help` names.

    \b
    corpusflow path evaluation           a folder under data/07_reports
    ls "$(corpusflow path evaluation)"   what is in it: metrics, report, …
    """
    from flows.pipeline.stages import newest

    store = open_store(config)
    click.echo(store.locate(newest(store, stage)))


@click.command()
@click.argument("stage", type=stage_choice, metavar="STAGE")
@click.option("--rows", default=3, show_default=True, type=click.IntRange(0, 100), help="How many sample rows.")
@config_option
@json_option
def inspect(stage: str, rows: int, config: Path, as_json: bool) -> None:
    """Show what a stage made last, and how its check went.

    Columns, rows, label balance, lengths and sample rows of each table, and every expectation of the check.

    \b
    corpusflow inspect cleaning --rows 10    the cleaned texts, ten of them as a sample
    """
    from flows.cli import tables
    from flows.cli.inspection import inspect_artifact
    from flows.pipeline.stages import newest

    store = open_store(config)
    found = inspect_artifact(store, newest(store, stage), rows)
    print_result(found, as_json, tables.show_inspection, found)


@click.command()
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="How many runs, newest first.")
@config_option
@json_option
def runs(last: int, config: Path, as_json: bool) -> None:
    """List past runs, and what the data folder takes on the disk.

    A line per run: its id (for `corpusflow why --run`), how it ended, how many stages it built and reused, how well its
    model did on the test part, and why it failed. One that was killed is shown as interrupted.

    \b
    corpusflow runs --last 5                 the five newest
    """
    from itertools import islice

    from flows.cli import tables
    from flows.ops.housekeeping import disk_use
    from tasks.shared.store.records import all_runs, is_held

    store = open_store(config)
    records, disk = list(islice(all_runs(store), last)), disk_use(store)
    for record in records:
        if record.status == "running" and not is_held(store, record.id):
            record.status = "interrupted"
    found = {"runs": [tables.run_as_json(r) for r in records], "disk": disk}
    print_result(found, as_json, tables.show_runs, records, disk)


@click.command()
@click.option("--keep", required=True, type=click.IntRange(1), help="How many artifacts of each stage to keep.")
@click.option(
    "--champions", default=3, show_default=True, type=click.IntRange(0), help="How many former champions stay."
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@config_option
@json_option
def prune(keep: int, champions: int, dry_run: bool, config: Path, as_json: bool) -> None:
    """Remove old artifacts.

    What the newest artifacts, the champion and running runs need always stays.

    \b
    corpusflow prune --keep 3 --dry-run      what would go
    corpusflow prune --keep 3                remove it
    """
    from flows.cli import tables
    from flows.ops.housekeeping import prune_store

    removed = prune_store(open_store(config), keep, dry_run, champions)
    print_result({"dry_run": dry_run, "removed": removed}, as_json, tables.show_pruned, removed, dry_run)


@click.command()
@config_option
@json_option
def verify(config: Path, as_json: bool) -> None:
    """Look for damage: hash every file of every artifact again.

    A file that is missing, was changed or does not belong there is named, and what to do about it. `corpusflow run`
    looks at what it reuses in the same way, and makes anew what is damaged.

    Exit codes: 0 all are whole, 1 something is damaged.
    """
    from flows.cli import tables
    from flows.ops.housekeeping import verify_store

    found = verify_store(open_store(config))
    print_result({"artifacts": found}, as_json, tables.show_verified, found)
    if any(entry["damage"] for entry in found):
        sys.exit(1)
