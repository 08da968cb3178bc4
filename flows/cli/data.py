"""`corpusflow why | path | inspect | runs | prune | verify`: shows the data folder's content, and cleans it up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from flows.cli.options import (
    StageName,
    config_option,
    json_option,
    open_store,
    print_result,
    refresh_site,
    stage_argument,
)


@click.command()
@click.argument("stage", type=StageName(), metavar="[STAGE]", required=False)
@click.option("--run", "run_id", metavar="ID", help="The run's id, or the start of it; by default the newest run.")
@config_option
@json_option
def why(stage: str | None, run_id: str | None, config: Path, as_json: bool) -> None:
    """Show why each stage of a run was reused or built.

    A stage is built when something that it depends on has changed: its settings, the content of its inputs, the code
    that it uses, or its libraries. Lists each change with the old and the new value, and for the stages that work part
    by part how many parts were made and how many kept from earlier builds. `corpusflow runs` lists the runs.

    \b
    corpusflow why                      every stage of the newest run
    corpusflow why training --run 2026  one stage of the newest run of that year
    """
    from flows.cli import tables
    from tasks.shared.store.records import find_run

    record = find_run(open_store(config), run_id)
    stages = [entry for entry in record.stages if stage in {None, entry.stage}]
    print_result(tables.why_as_json(record, stages, stage), as_json, tables.show_why, record, stages, stage)


@click.command()
@stage_argument
@config_option
def path(stage: str, config: Path) -> None:
    """Print the folder of a stage's newest artifact.

    Prints nothing else, for use in a shell. `corpusflow --help` lists the stages.

    \b
    corpusflow path evaluation           a folder under data/08_reports
    ls "$(corpusflow path evaluation)"   the files in it: metrics, report, …
    """
    from flows.pipeline.stages import newest

    store = open_store(config)
    click.echo(os.fsencode(store.locate(newest(store, stage))))  # bytes, whatever the terminal's encoding


@click.command()
@stage_argument
@click.option("--rows", default=3, show_default=True, type=click.IntRange(0, 100), help="Number of sample rows.")
@config_option
@json_option
def inspect(stage: str, rows: int, config: Path, as_json: bool) -> None:
    """Show a stage's newest artifact and its check.

    Shows columns, rows, label counts, lengths and sample rows of each table, and every expectation of the check.

    \b
    corpusflow inspect cleaning --rows 10    the cleaned texts, with ten sample rows
    """
    from flows.cli import tables
    from flows.cli.inspection import inspect_artifact
    from flows.pipeline.stages import newest

    store = open_store(config)
    inspected = inspect_artifact(store, newest(store, stage), rows)
    print_result(inspected, as_json, tables.show_inspection, inspected)


@click.command()
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="Number of runs, newest first.")
@config_option
@json_option
def runs(last: int, config: Path, as_json: bool) -> None:
    """List past runs and the disk usage of the data folder.

    A line per run: its id (for `corpusflow why --run`), its status, how many stages it built and reused, its model's
    scores on the test split, and, if it failed, why. A run that was killed is shown as interrupted.

    \b
    corpusflow runs --last 5                 the five newest runs
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
    result = {"runs": [tables.run_as_json(r) for r in records], "disk": disk}
    print_result(result, as_json, tables.show_runs, records, disk)


@click.command()
@click.option("--keep", required=True, type=click.IntRange(1), help="Artifacts to keep per stage.")
@click.option("--champions", default=3, show_default=True, type=click.IntRange(0), help="Former champions to keep.")
@click.option("--dry-run", is_flag=True, help="List what would be removed, without removing it.")
@config_option
@json_option
def prune(keep: int, champions: int, dry_run: bool, config: Path, as_json: bool) -> None:
    """Remove old artifacts.

    Always keeps the artifacts that the `latest` ones, the champion and current runs depend on. Finished parts of stages
    go, too, if none of the builds of the artifacts to keep has used them.

    \b
    corpusflow prune --keep 3 --dry-run      list what would be removed
    corpusflow prune --keep 3                remove it
    """
    from flows.cli import tables
    from flows.ops.housekeeping import prune_store

    removed = prune_store(open_store(config), keep, dry_run, champions)
    if removed and not dry_run:
        refresh_site(config)
    print_result({"dry_run": dry_run, "removed": removed}, as_json, tables.show_pruned, removed, dry_run)


@click.command()
@config_option
@json_option
def verify(config: Path, as_json: bool) -> None:
    """Check every artifact for damage.

    Hashes every file again, and lists the files that are missing, changed or unexpected. `corpusflow run` checks the
    artifacts that it reuses in the same way, and builds damaged ones again.

    Exit codes: 0 all artifacts are intact, 1 at least one is damaged.
    """
    from flows.cli import tables
    from flows.ops.housekeeping import verify_store

    artifacts = verify_store(open_store(config))
    print_result({"artifacts": artifacts}, as_json, tables.show_verified, artifacts)
    if any(entry["damage"] for entry in artifacts):
        sys.exit(1)
