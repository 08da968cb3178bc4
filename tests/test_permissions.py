"""What a user may not read is named: nothing is taken for missing, and no other model for the champion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Pipeline, Result
from test_cli import refused

from tasks.shared.engine.build import Build, build_artifact
from tasks.shared.engine.stage import stage
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Store
from tasks.shared.store.fingerprint import Recipe
from tasks.shared.store.records import RunRecord

AS_OTHERS = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""Permissions bind root, too, without these capabilities."""


@pytest.fixture
def closed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    """A data folder with a run and a champion's folder, one folder of which may not be read."""
    pipeline = Pipeline(tmp_path, dict(os.environ) | {"PYTHONPATH": str(PROJECT)})
    pipeline.configure()
    (tmp_path / "a.txt").write_text("one")
    (pipeline.data / "champion").mkdir(parents=True)
    RunRecord(id="20261125-000000-abcd", flow="retrain", started="2026-11-25", settings={}).save(Store(pipeline.data))
    place = pipeline.data / request.param
    place.chmod(0)
    yield pipeline
    place.chmod(0o755)


def call(pipeline: Pipeline, *arguments: str) -> Result:
    command = [*AS_OTHERS, sys.executable, "-m", "flows.cli", *arguments]
    where = {"cwd": pipeline.root, "env": pipeline.environment}
    done = subprocess.run(command, **where, capture_output=True, text=True, check=False)  # type: ignore[call-overload]
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("closed", ["champion"], indirect=True)
def test_a_champion_that_may_not_be_read_is_not_replaced_by_the_newest_model(closed: Pipeline):
    for command in (["champion"], ["predict", "a.txt"], ["prune", "--keep", "1"]):
        line = refused(call(closed, *command), code=1)
        assert line.startswith(f"corpusflow: {closed.data}/champion: cannot be read (Permission denied)")


@pytest.mark.parametrize("closed", ["runs"], indirect=True)
def test_runs_that_may_not_be_read_are_not_missing(closed: Pipeline):
    for command in (["runs"], ["why"], ["prune", "--keep", "1"], ["site"]):
        assert f"{closed.data}/runs: Permission denied" in refused(call(closed, *command), code=1)


def test_verify_goes_on_after_a_file_that_it_may_not_read(tmp_path: Path):
    @stage("cleaning", "02_cleaned", libraries=())
    def clean(settings: Any, out: Path) -> dict[str, Any]:
        (out / "text").write_text("written")
        return {"rows": 1}

    pipeline = Pipeline(tmp_path, dict(os.environ) | {"PYTHONPATH": str(PROJECT)})
    pipeline.configure()
    store = Store(pipeline.data)
    for number in range(2):
        recipe = Recipe(stage="cleaning", settings={"n": number}, inputs={}, sources={}, code={}, libraries={})
        artifact = build_artifact(Build(clean, store, Section(), Section(), recipe, {}))
        store.commit(artifact)
        if number:
            (store.locate(artifact) / "text").chmod(0)
    done = call(pipeline, "verify", "--json")
    assert done.code == 1
    place = store.locate(artifact)
    damages = {entry["path"]: entry["damage"] for entry in done.json["artifacts"]}
    assert damages.pop(str(place)) == f"{place}/text: cannot be read (Permission denied)"
    assert list(damages.values()) == [None]


def test_parts_of_a_table_that_may_not_be_read_are_named(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from tasks.extraction import table; table.table_files(Path(sys.argv[1]))"
    )
    for place in ("t/label=a", "t/other"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place).chmod(0)
        command = [*AS_OTHERS, sys.executable, "-c", code, str(tmp_path / "t")]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        (tmp_path / place).rmdir()
        assert f"CorpusError: {tmp_path / place}: not readable (Permission denied)" in done.stderr
