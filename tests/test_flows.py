"""The pipeline from a user's shell: what is reused, what is built again, and what stops a run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import PROJECT, Pipeline, write_corpus

STAGES = "extraction cleaning splitting vocabulary tokenization linear training stacking evaluation".split()


def built(statuses: dict[str, str]) -> list[str]:
    assert [stage for stage in statuses if stage in STAGES] == STAGES
    return [stage for stage in STAGES if statuses[stage] == "built"]


def splits(pipeline: Pipeline) -> dict[str, str]:
    table = pd.read_parquet(pipeline.data / "03_splits/latest/splits")
    return dict(zip(table["doc_id"], table["split"], strict=True))


def test_a_run_builds_everything_and_a_second_one_nothing(pipeline: Pipeline):
    first = pipeline("run", "--json")
    assert first.code == 0, first.err
    record = first.json
    assert [stage["stage"] for stage in record["stages"]] == [*STAGES, "promotion"]
    assert {"stage", "status", "rows", "seconds", "bytes", "path"} == set(record["stages"][0])
    assert {"accuracy", "macro_f1", "baselines"} <= set(record["metrics"])
    assert "tfidf_svm" in record["metrics"]["baselines"]
    assert all(Path(stage["path"], "artifact.json").exists() for stage in record["stages"])

    again = pipeline("run")
    assert again.code == 0, again.err
    assert again.out.count(" reused ") >= len(STAGES)
    assert " built " not in again.out
    assert "nothing new: all" in again.out
    assert "tfidf_svm" in again.out
    assert "report.html" in again.out
    assert sorted(p.name for p in pipeline.data.rglob(".staged-*")) == []


def test_only_what_depends_on_a_change_is_rebuilt(pipeline: Pipeline):
    assert built(pipeline.statuses()) == STAGES
    assert built(pipeline.statuses("--set", "training.learning_rate=0.002")) == ["training", "stacking", "evaluation"]
    why = pipeline("why", "training")
    assert "settings learning_rate: 0.003 → 0.002" in why.out
    assert built(pipeline.statuses("--set", "evaluation.bootstrap_samples=200")) == ["evaluation"]
    assert built(pipeline.statuses("--set", "checks.cleaning.min_documents=4")) == []

    (pipeline.texts / "label0" / "000.txt").touch()
    assert built(pipeline.statuses()) == []
    path = pipeline.texts / "label0" / "000.txt"
    path.write_bytes(path.read_bytes().replace(b"\n\n", b"\r\n\r\n"))  # another file, the same text once cleaned
    assert built(pipeline.statuses()) == ["extraction", "cleaning"]


def test_assigned_documents_keep_their_split(pipeline: Pipeline):
    pipeline.statuses()
    before = splits(pipeline)
    write_corpus(pipeline.root / "more", documents=9, seed=1)
    for path in (pipeline.root / "more").rglob("*.txt"):
        shutil.copy(path, pipeline.texts / path.parent.name / f"0{path.name}")
    assert "splitting" in built(pipeline.statuses())
    after = splits(pipeline)
    assert len(after) == len(before) + 27
    assert {doc_id: after[doc_id] for doc_id in before} == before
    manifest = json.loads((pipeline.data / "07_models/latest/artifact.json").read_text())
    assert manifest["lineage"]["cleaning"]["fingerprint"] == pipeline.stage_path("cleaning").name  # not yesterday's
    assert built(pipeline.statuses()) == []


def test_damage_is_detected_repaired_and_reported(pipeline: Pipeline):
    pipeline.statuses()
    part = pipeline.data / "05_tokens/latest/tokens/part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    verified = pipeline("verify")
    assert verified.code == 1
    assert "part-00000.parquet" in verified.out
    result = pipeline("run", "--json")
    assert built({s["stage"]: s["status"] for s in result.json["stages"]}) == ["tokenization"]
    assert "tokenization: damaged, built again" in result.err
    assert "damaged: " in pipeline("why", "tokenization").out
    assert pipeline("verify").code == 0

    manifest = pipeline.data / "05_tokens/latest/artifact.json"
    manifest.write_text("{")
    assert built(pipeline.statuses()) == ["tokenization"]

    shutil.rmtree(pipeline.data / "06_rnn" / pipeline.stage_path("training").name)
    assert built(pipeline.statuses()) == ["training"]  # the same weights, so the report stands

    manifest.unlink()
    assert built(pipeline.statuses("--set", "tokenization.max_tokens=100000")) == ["tokenization"]
    assert "cannot be compared with the newest one" in pipeline("why", "tokenization").out


def test_a_failing_check_stops_the_run_and_quarantines_the_artifact(pipeline: Pipeline):
    failed = pipeline("run", "--json", "--set", "checks.extraction.documents=35")
    assert failed.code == 1
    assert failed.out == ""
    last = failed.err.strip().splitlines()[-1]
    assert last.startswith("corpusflow: check of extraction failed: ")
    assert "what to do next is in the artifact brown-failure" in failed.err
    assert "35" in last
    assert "36" in last
    assert "Traceback" not in failed.err
    (quarantined,) = (pipeline.data / "quarantine").iterdir()
    why = json.loads((quarantined / "quarantine.json").read_text())
    assert why["failures"][0]["observed"] == 36
    assert why["failures"][0]["reason"]
    assert (quarantined / "documents/part-00000.parquet").exists()
    assert not (pipeline.data / "02_cleaned").exists()
    assert not (pipeline.data / "01_documents/latest").exists()
    assert "failed" in pipeline("runs").out
    told = pipeline("why").out.splitlines()
    assert told[1:3] == ["extraction    not finished", f"{'':<13} first time: the stage has no artifact yet"]
    assert built(pipeline.statuses()) == STAGES


COUNT_OPENINGS = """
import sys
openings = []
def audit(event, arguments):
    if event == "open" and str(arguments[0]).endswith("pipeline.yaml"):
        openings.append(arguments)
sys.addaudithook(audit)
from flows.cli.main import main
try:
    main()
finally:
    print(len(openings))
"""


def test_a_run_reads_pipeline_yaml_once_even_if_it_fails(pipeline: Pipeline):
    done = subprocess.run(
        [sys.executable, "-c", COUNT_OPENINGS, "run", "--set", "checks.extraction.documents=35"],
        cwd=pipeline.root,
        env=pipeline.environment | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "check of extraction failed" in done.stderr
    assert done.stdout == "1\n"


def test_an_artifact_is_reused_when_prefect_has_forgotten_it(pipeline: Pipeline, tmp_path: Path):
    pipeline.statuses()
    pipeline.environment = pipeline.environment | {"PREFECT_LOCAL_STORAGE_PATH": str(tmp_path / "empty")}
    assert built(pipeline.statuses()) == []


def test_two_concurrent_runs_build_each_artifact_once(pipeline: Pipeline):
    both = [pipeline.start("run", "--json") for _ in range(2)]
    outcomes = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outcomes
    records = [json.loads(out) for out, _ in outcomes]
    assert records[0]["metrics"] == records[1]["metrics"]
    for stage in STAGES:
        folders = [path for path in (pipeline.data).glob(f"*/{Path(_path(records[0], stage)).name}") if path.is_dir()]
        assert len(folders) == 1
    assert pipeline("verify").code == 0


def _path(record: dict[str, list[dict[str, str]]], stage: str) -> str:
    return next(entry["path"] for entry in record["stages"] if entry["stage"] == stage)


@pytest.mark.brown
def test_the_brown_corpus_from_end_to_end(pipeline: Pipeline, brown_environment: dict[str, str]):
    pipeline.environment = pipeline.environment | brown_environment
    pipeline.configure(
        extraction={"source": "brown"},
        vocabulary={"size": 8000},
        training={"epochs": 1, "window": 128},
    )
    result = pipeline("run", "--json")
    assert result.code == 0, result.err
    rows = {stage["stage"]: stage["rows"] for stage in result.json["stages"]}
    assert rows["extraction"] == 500
    table = pd.read_parquet(pipeline.data / "03_splits/latest/splits")
    counts = table.groupby("split").size()
    assert dict(counts) == {"train": 400, "validation": 50, "test": 50}
    assert table.groupby("split")["label"].nunique().eq(15).all()
    assert result.json["metrics"]["baselines"]["tfidf_svm"]["accuracy"] > 0.3
    predictions = pd.read_parquet(pipeline.data / "08_reports/latest/predictions.parquet")
    assert len(predictions) == 50
    probabilities = predictions.filter(like="probability_")
    assert probabilities.shape[1] == 15
    assert probabilities.sum(axis=1).sub(1).abs().max() < 1e-9
    assert built(pipeline.statuses()) == []
