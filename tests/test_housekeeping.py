"""Housekeeping: what pruning keeps, what maintenance deletes, and the effect of a full or unmounted disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Pipeline, write_corpus
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.cli.main import cli
from flows.ops.housekeeping import disk_use, prune_quarantine, prune_store
from flows.ops.prefect_records import delete_results
from flows.pipeline.settings import Pipeline as Settings
from flows.pipeline.stages import STAGES
from tasks.shared.errors import ArtifactError
from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.store.champion import set_champion
from tasks.shared.store.fingerprint import Recipe
from tasks.shared.store.records import RunRecord, StageRecord, run_lock, running

CHAIN = ("extraction", "cleaning", "splitting", "vocabulary", "tokenization", "stacking", "evaluation")


def make_chain(store: Store, number: int) -> Artifact:
    """An artifact of each stage, as run `number` would have left them; returns the model."""
    lineage: dict[str, Any] = {}
    made = {}
    for stage in CHAIN:
        name = f"{stage}{number}"
        lineage[stage] = {"fingerprint": name, "settings": {}}
        recipe = Recipe(stage=stage, settings={}, inputs={}, sources={}, code={}, libraries={})
        values = {"rows": 1, "bytes": 1, "seconds": 0, "summary": {}, "files": {}, "lineage": dict(lineage)}
        folder, created = STAGES[stage].folder, f"2026-01-{number:02d}"
        made[stage] = Artifact(
            stage=stage, folder=folder, fingerprint=name, digest=name, created=created, recipe=recipe, **values
        )
        store.seal(store.place(folder, name), made[stage])
        store.point_latest(made[stage])
    return made["stacking"]


def models(store: Store) -> list[str]:
    return [path.name for path in store.all("07_models")]


def test_pruning_keeps_champions_and_everything_they_were_made_from(tmp_path: Path):
    store = Store(tmp_path)
    chain = [make_chain(store, number) for number in range(1, 9)]
    for number in (1, 2, 3, 4):
        set_champion(store, chain[number], "hand", "")
    prune_store(store, keep=1, champions=2)
    assert models(store) == ["stacking3", "stacking4", "stacking5", "stacking8"]
    for number in (3, 4, 5, 8):
        assert store.place("02_cleaned", f"cleaning{number}").exists()
    assert not store.place("02_cleaned", "cleaning2").exists()
    prune_store(store, keep=1, champions=0)
    assert models(store) == ["stacking5", "stacking8"]
    assert prune_store(store, keep=1, champions=0) == []


def test_pruning_removes_the_parts_that_no_kept_build_has_used(tmp_path: Path):
    store = Store(tmp_path)
    for number in range(1, 9):
        make_chain(store, number)  # on the 1st to the 8th of January 2026
    parts = {day: store.kept_parts("cleaning") / "settings" / f"used on {day}" for day in (1, 4, 6, 9)}
    for day, folder in parts.items():
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(b"x" * 100)
        used = datetime(2026, 1, day, 12, tzinfo=UTC).timestamp()
        os.utime(folder, (used, used))
    expected = {"stage": "parts of cleaning", "path": str(store.kept_parts("cleaning")), "bytes": 200}
    assert expected in prune_store(store, keep=3, dry_run=True)
    assert all(folder.exists() for folder in parts.values())
    assert expected in prune_store(store, keep=3)  # the third newest was made on the 6th
    assert [day for day, folder in parts.items() if folder.exists()] == [6, 9]
    assert not [entry for entry in prune_store(store, keep=3) if entry["stage"].startswith("parts")]


def test_a_pruning_that_was_killed_is_finished_by_the_next_one(tmp_path: Path):
    store = Store(tmp_path)
    make_chain(store, 1)
    hidden = store.place("07_models", ".removed-stacking0")
    hidden.mkdir()
    assert [entry["path"] for entry in prune_store(store, keep=1)] == [str(hidden)]
    assert not hidden.exists()


def test_a_damaged_champion_is_not_pruned(tmp_path: Path):
    store = Store(tmp_path)
    set_champion(store, make_chain(store, 1), "hand", "")
    for number in (2, 3):
        make_chain(store, number)
    (store.place("07_models", "stacking1") / "artifact.json").write_text("{")
    prune_store(store, keep=1)
    assert models(store) == ["stacking1", "stacking3"]


@pytest.mark.parametrize("damage", ["{", None])
def test_a_damaged_manifest_is_reported_with_what_to_do(tmp_path: Path, damage: str | None):
    store = Store(tmp_path / "data")
    for number in (1, 2):
        make_chain(store, number)
    newest = store.place("07_models", "stacking2")
    (newest / "artifact.json").unlink()
    if damage is not None:
        (newest / "artifact.json").write_text(damage)
    (tmp_path / "pipeline.yaml").write_text("{}")
    where = ["--config", str(tmp_path / "pipeline.yaml")]

    verified = CliRunner().invoke(cli, ["verify", *where])
    assert verified.exit_code == 1
    first, advice, last = verified.output.splitlines()
    assert first.startswith(f"damaged  {newest}/artifact.json: ")
    again = f"`corpusflow run --config {where[1]}`"
    assert advice == f"{again} builds what it needs of them again; delete those that are still damaged after it"
    assert last == f"{2 * len(CHAIN) - 1} of {2 * len(CHAIN)} artifacts are intact"

    pruned = CliRunner().invoke(cli, ["prune", "--keep", "1", *where])
    assert isinstance(pruned.exception, ArtifactError)
    assert str(pruned.exception).startswith(f"{newest}/artifact.json: ")
    assert str(pruned.exception).endswith("; delete its folder and run again")
    assert models(store) == ["stacking1", "stacking2"]


def test_pruning_keeps_what_a_current_run_has_used_but_not_what_a_killed_one_has(tmp_path: Path):
    store = Store(tmp_path)
    for number in (1, 2, 3):
        make_chain(store, number)
    for number, run_id in ((1, "alive"), (2, "killed")):
        RunRecord(id=run_id, flow="retrain", started="", settings={}, stages=[stage_record(number)]).save(store)
    with run_lock(store, "alive"):
        assert [record.id for record in running(store)] == ["alive"]
        prune_store(store, keep=1)
        assert models(store) == ["stacking1", "stacking3"]
    assert list(running(store)) == []
    prune_store(store, keep=1)
    assert models(store) == ["stacking3"]


def test_a_killed_run_is_shown_as_interrupted(pipeline: Pipeline):
    store = Store(pipeline.data)
    for run_id in ("alive", "killed"):
        RunRecord(id=run_id, flow="retrain", started="", settings={}).save(store)
    with run_lock(store, "alive"):
        shown = pipeline("runs", "--json").json["runs"]
    assert {run["run"]: run["status"] for run in shown} == {"alive": "running", "killed": "interrupted"}


def stage_record(number: int) -> StageRecord:
    values: dict[str, Any] = {"status": "built", "rows": 1, "seconds": 0, "bytes": 1, "path": "", "reasons": []}
    return StageRecord(stage="stacking", fingerprint=f"stacking{number}", **values)


def test_old_quarantine_and_result_records_are_deleted_unless_needed(tmp_path: Path):
    store = Store(tmp_path / "data")
    make_chain(store, 1)
    limits = Settings().limits
    key = STAGES["stacking"].check_key(store.latest("07_models"), limits["stacking"])
    storage = tmp_path / "storage"
    names = ["stacking-stacking1", f"check-stacking-{key}", "stacking-gone", "check-stacking-gone", "somebody-elses"]
    for path in [*(storage / name for name in names), store.root / "quarantine/old/x", store.root / "quarantine/new/x"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    long_ago = (datetime.now(UTC) - timedelta(days=90)).timestamp()
    for path in [*storage.iterdir(), store.root / "quarantine/old"]:
        os.utime(path, (long_ago, long_ago))
    (storage / "cleaning-young").write_text("x")
    before = datetime.now(UTC) - timedelta(days=30)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}):
        assert delete_results(store, limits, before) == 2
    left = {"stacking-stacking1", f"check-stacking-{key}", "somebody-elses", "cleaning-young"}
    assert {path.name for path in storage.iterdir()} == left
    assert [Path(entry["path"]).name for entry in prune_quarantine(store, before)] == ["old"]
    assert [path.name for path in (store.root / "quarantine").iterdir()] == ["new"]


def test_disk_use_names_each_folder(tmp_path: Path):
    (tmp_path / "07_models/abc").mkdir(parents=True)
    (tmp_path / "07_models/abc/weights").write_bytes(b"x" * 100)
    (tmp_path / "07_models/latest").symlink_to("abc")
    (tmp_path / "runs").mkdir()
    assert disk_use(Store(tmp_path)) == {"07_models": 100, "runs": 0}
    (tmp_path / ".parts").mkdir()
    (tmp_path / ".parts/rows.parquet").write_bytes(b"x" * 10)
    os.link(tmp_path / "07_models/abc/weights", tmp_path / ".parts/weights")  # an artifact has this part's file, too
    assert disk_use(Store(tmp_path)) == {".parts": 10, "07_models": 100, "runs": 0}


MAINTAIN = """
import json, sys
from flows.maintenance import maintenance
import flows.maintenance
from datetime import timedelta
flows.maintenance.timedelta = lambda days: timedelta(seconds=-60)  # every finished run counts as old
print(json.dumps(maintenance(keep=1, champions=0)))
"""


@pytest.mark.slow
def test_maintenance_deletes_old_runs_and_the_next_run_reuses_everything(pipeline: Pipeline):
    pipeline.environment = pipeline.environment | {"PREFECT_LOCAL_STORAGE_PATH": str(pipeline.root / "storage")}
    pipeline.configure(promotion={"when": "by_hand"})
    for seed in (1, 2):
        pipeline.statuses("--set", f"training.seed={seed}")
    code = [sys.executable, "-c", MAINTAIN]
    done = subprocess.run(code, cwd=pipeline.root, env=pipeline.environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["artifacts"] == 4
    assert found["results"] >= 3
    assert found["flow_runs"] >= 2
    assert set(pipeline.statuses("--set", "training.seed=2").values()) == {"reused"}
    assert "07_models" in pipeline("runs", "--json").json["disk"]


def run_with_private_mounts(pipeline: Pipeline, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a mount namespace of its own; its mounts disappear with it."""
    return subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-euc", script, "sh", sys.executable],
        cwd=pipeline.root,
        env=pipeline.environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def assert_one_error_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("corpusflow: ")]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_one_line_and_leaves_the_champion_intact(pipeline: Pipeline):
    write_corpus(pipeline.texts, documents=30)
    pipeline.configure(training={"epochs": 3})
    assert pipeline("run").code == 0
    champion = pipeline("champion", "--json").json["champion"]["model"]
    shutil.copytree(pipeline.data, pipeline.root / "kept", symlinks=True)
    write_corpus(pipeline.texts, documents=1200, seed=3)  # more than fits on the disk
    done = run_with_private_mounts(
        pipeline,
        """
        mount -t tmpfs -o size=3m none data
        cp -a kept/. data/
        "$1" -m flows.cli run || code=$?
        echo "code $code"
        df --output=avail data | tail -1
        "$1" -m flows.cli verify
        find data -name '.staged-*' -o -name '.artifact.json-*' -o -name '.00*'
        "$1" -m flows.cli champion --json
        echo "apple1 river1 stone1 cloud1 tiger1 apple1" | "$1" -m flows.cli predict -
        """,
    )
    assert done.returncode == 0, done.stderr
    assert_one_error_line(done, "No space left on device", "data")
    assert "code 1" in done.stdout
    assert "artifacts are intact" in done.stdout
    assert "damaged  " not in done.stdout
    assert ".staged-" not in done.stdout
    assert f'"model": "{champion}"' in done.stdout
    assert "label1" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_storage_that_disappears_is_reported_and_the_next_run_continues(pipeline: Pipeline):
    (pipeline.root / "disk").mkdir()
    pipeline.configure(training={"epochs": 60})
    done = run_with_private_mounts(
        pipeline,
        """
        mkdir data
        mount -t tmpfs -o size=20m none disk
        mount --bind disk data
        ( while ! ls -d data/06_rnn/.scratch-* > /dev/null 2>&1; do sleep 0.02; done; umount -l data ) &
        "$1" -m flows.cli run || echo "code $?"
        wait
        find data -type f
        mount --bind disk data
        "$1" -m flows.cli verify
        "$1" -m flows.cli run --json --set training.epochs=2
        """,
    )
    assert done.returncode == 0, done.stderr
    assert_one_error_line(done, "the storage disappeared during the run", str(pipeline.data))
    out = done.stdout
    assert out.startswith("code 1\n6 of 6 artifacts are intact\n"), out
    record = json.loads(out[out.index("{") :])
    statuses = [stage["status"] for stage in record["stages"]]
    assert statuses[:6] == ["reused"] * 6
    assert statuses[6] == "built"
