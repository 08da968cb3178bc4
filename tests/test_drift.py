"""Drift: the figures agree with scipy, limits warn or stop, and Prefect gets an event."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, Pipeline, write_corpus
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from flows.steps.drift import exceeded_limits
from tasks.cleaning.digest import text_digest
from tasks.cleaning.schema import DOCUMENTS
from tasks.drift.contract import batches
from tasks.drift.measure import Profile, divergence_terms, label_shift, length_shift, most_moved, shifts
from tasks.drift.page import page
from tasks.drift.settings import DriftLimits, DriftSettings
from tasks.drift.task import compare
from tasks.shared.parquet import PartWriter
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.vocabulary.settings import VocabularySettings
from tasks.vocabulary.task import learn_vocabulary

counts = st.lists(st.integers(0, 1000), min_size=3, max_size=3).filter(any).map(np.array)


@given(counts, counts)
def test_the_divergence_is_jensen_shannons_in_base_2(then: Any, now: Any):
    found = divergence_terms(then, now).sum()
    assert found == pytest.approx(jensenshannon(then, now, base=2) ** 2, abs=1e-9)
    assert -1e-12 <= found <= 1 + 1e-12


@given(st.lists(st.integers(0, 50), min_size=4), st.lists(st.integers(0, 50), min_size=4))
def test_the_length_shift_is_kolmogorov_smirnovs(then: list[int], now: list[int]):
    assert length_shift(np.array(then), np.array(now)) == pytest.approx(ks_2samp(then, now, method="asymp").statistic)


def test_new_and_missing_labels_count():
    assert label_shift({"a": 5, "b": 5}, {"a": 50, "b": 50}) == 0
    assert label_shift({"a": 5, "b": 5}, {"a": 5, "c": 5}) == 0.5
    assert label_shift({"a": 1}, {"c": 1}) == 1


def profile(tokens: list[int], documents: int = 4) -> Profile:
    return Profile({"a": documents}, np.full(documents, 10), np.array(tokens))


def test_rare_tokens_and_the_largest_contributions():
    then = profile([90, 6, 4, 0])
    found = shifts(then, profile([50, 0, 30, 20]), rare_count=5)
    assert found.rare_rise == pytest.approx(0.5 - 0.04)
    assert shifts(then, profile([100, 0, 0, 0]), rare_count=5).rare_rise == 0
    assert most_moved(then.tokens, np.array([90, 6, 0, 4]), 9) == [2, 3]
    assert shifts(then, Profile({}, np.array([], int), np.zeros(4, int)), 5).token_divergence == 0


def test_only_exceeded_limits_are_reported():
    limits = DriftLimits().model_dump()
    figures = {"label_shift": 0.25, "length_shift": 0.3, "rare_rise": 0.0, "token_divergence": 0.05}
    assert exceeded_limits(figures, limits, documents=30) == ["label shares moved by 0.250, the limit is 0.2"]
    assert exceeded_limits(figures, limits, documents=29) == []
    assert exceeded_limits(figures, limits | {"beyond": "ignore"}, documents=30) == []


def write_documents(root: Path, name: str, texts: dict[str, tuple[str, str]]) -> Path:
    with PartWriter(root / name / "documents", DOCUMENTS) as writer:
        for doc_id, (label, text) in sorted(texts.items()):
            writer.write(
                [
                    {
                        "doc_id": doc_id,
                        "label": label,
                        "source": doc_id,
                        "text": text,
                        "group": doc_id,
                        "digest": text_digest(text),
                    }
                ]
            )
    return root / name


@pytest.fixture
def reference(tmp_path: Path) -> dict[str, Path]:
    """What a champion was trained on: forty texts in two labels, the first thirty-two of them for training."""
    words = {"a": "the cat sat on the mat and the dog sat too", "b": "a boat on the sea and a fish in the sea"}
    texts = {f"{i:02d}": ("ab"[i % 2], words["ab"[i % 2]] + f" once or {'twice ' * (i % 3)}") for i in range(40)}
    cleaned = write_documents(tmp_path, "then", texts)
    with PartWriter(tmp_path / "splits/splits", SPLITS_SCHEMA) as writer:
        for number, (doc_id, (label, _)) in enumerate(sorted(texts.items())):
            split = "train" if number < 32 else "test"
            writer.write([{"doc_id": doc_id, "label": label, "group": doc_id, "split": split, "digest": doc_id}])
    (tmp_path / "vocabulary").mkdir()
    made = {"cleaned": cleaned, "splits": tmp_path / "splits"}
    learn_vocabulary.function(
        VocabularySettings(size=300), tmp_path / "vocabulary", **made, scratch=tmp_path / "scratch"
    )
    return {f"champion_{name}": path for name, path in made.items()} | {"champion_vocabulary": tmp_path / "vocabulary"}


def figures(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "drift.json").read_text()))


def test_the_same_texts_hardly_drift_and_different_ones_do(tmp_path: Path, reference: dict[str, Path]):
    same, strange = tmp_path / "same", tmp_path / "strange"
    for out in (same, strange):
        out.mkdir()
    found = compare.function(DriftSettings(), same, cleaned=reference["champion_cleaned"], **reference)
    assert found["rows"] == 40
    assert found["new_documents"] == 0
    assert max(figures(same)["shifts"].values()) < 0.05
    texts = {f"x{i}": ("c", "ZZZ QQQ 12345 " * 30) for i in range(40)}
    cleaned = write_documents(tmp_path, "now", texts)
    compare.function(DriftSettings(compare="new"), strange, cleaned=cleaned, **reference)
    moved = figures(strange)["shifts"]
    assert min(moved.values()) > 0.7
    shown = (strange / "drift.md").read_text()
    assert "| label shares | 1.000 |" in shown
    assert "| share of c | 0.0% | 100.0% |" in shown

    def severities(limits: DriftLimits) -> set[str]:
        (batch,) = batches(strange, {}, DriftSettings(), limits)
        return {str(e.severity.value) for e in batch.expectations if e.max_value < 0.5}

    assert severities(DriftLimits()) == {"warning"}
    assert severities(DriftLimits(beyond="stop")) == {"critical"}
    assert severities(DriftLimits(beyond="ignore")) == severities(DriftLimits(min_documents=41)) == set()


def test_compare_new_ignores_known_texts_whatever_their_names(tmp_path: Path, reference: dict[str, Path]):
    then = pd.read_parquet(reference["champion_cleaned"] / "documents")
    rows = {f"renamed-{i:02d}": ("c", text) for i, text in enumerate(then["text"])} | {"00": ("c", "ZZZ QQQ")}
    out = tmp_path / "out"
    out.mkdir()
    cleaned = write_documents(tmp_path, "now", rows)
    found = compare.function(DriftSettings(compare="new"), out, cleaned=cleaned, **reference)
    assert (found["rows"], found["new_documents"], found["label_shift"]) == (1, 1, 1.0)


def test_the_page_survives_any_label_and_token():
    found = {
        "shifts": dict.fromkeys(("label_shift", "length_shift", "rare_rise", "token_divergence"), 0.5),
        "new_documents": 1,
        "labels": ["a|b\n<script>"],
        "tokens": [{"token": "|`", "then": 1.0, "now": 2.0}],
        "then": {"documents": 0, "labels": {}, "lengths": {"median": 0}, "rare_share": 0.0},
        "now": {"documents": 1, "labels": {"a|b\n<script>": 1}, "lengths": {"median": 1}, "rare_share": 0.0},
    }
    lines = page(found).splitlines()
    assert "| share of a\\|b \\<script\\> | 0.0% | 100.0% |" in lines
    assert "| \\|\\` | 1.00 | 2.00 |" in lines


def drifted(pipeline: Pipeline) -> None:
    write_corpus(pipeline.root / "more", documents=30, seed=1)
    for path in (pipeline.root / "more").rglob("*.txt"):
        text = path.read_text().replace("the", "xyzzy").replace("apple", "QUUX")
        (pipeline.texts / path.parent.name / f"new-{path.name}").write_text(text)


@pytest.mark.slow
def test_a_run_emits_an_event_and_an_automation_reacts(pipeline: Pipeline):
    name = f"drifting-{time.time_ns()}"
    write_corpus(pipeline.texts, documents=30)
    limits = {"drift": {"max_token_divergence": 0.01}, "training": {"min_gain_over_majority": -1}}
    pipeline.configure(name=name, training={"epochs": 3}, checks=limits)
    assert "drift" not in pipeline.statuses()
    assert pipeline("champion", "--json").json["champion"] is not None
    drifted(pipeline)
    automation = (PROJECT / "automations/drift.yaml").read_text()
    (pipeline.root / "drift.yaml").write_text(automation.replace("pause on drift", name))
    prefect("automation", "create", "--from-file", "drift.yaml", pipeline=pipeline)
    assert "corpusflow.drift.stopped" in prefect("automation", "inspect", name, pipeline=pipeline)

    result = pipeline("run", "--json")
    assert result.code == 0, result.err
    assert "drift: figures" in result.err
    statuses = {stage["stage"]: stage["status"] for stage in result.json["stages"]}
    assert list(statuses)[:3] == ["extraction", "cleaning", "drift"]
    stopping = json.loads(json.dumps(limits)) | {"drift": {"max_token_divergence": 0.01, "beyond": "stop"}}
    pipeline.configure(name=name, training={"epochs": 3}, checks=stopping)
    if champion_is_newest(pipeline):  # it learned from today's texts: go back to the one that did not
        assert pipeline("champion", "--rollback").code == 0
    stopped = pipeline("run")
    assert stopped.code == 1
    assert "corpusflow: check of drift failed: figures: " in stopped.err
    assert "(checks.drift.max_" in stopped.err
    assert "Traceback" not in stopped.err

    found = events(pipeline, "corpusflow.drift.", name, count=2)
    assert [event["event"] for event in found] == ["corpusflow.drift.warned", "corpusflow.drift.stopped"]
    assert "distribution of tokens moved by" in found[0]["payload"]["message"]
    assert found[0]["payload"]["figures"]["token_divergence"] > 0.01
    assert len(events(pipeline, "prefect.automation.triggered", name, count=1)) == 1  # by the second event alone


def champion_is_newest(pipeline: Pipeline) -> bool:
    return bool(pipeline("champion", "--json").json["champion"]["model"] == pipeline.stage_path("stacking").name)


def prefect(*arguments: str, pipeline: Pipeline) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=pipeline.root,
        env=pipeline.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


EVENTS = """
import json, sys
from prefect.client.orchestration import get_client

with get_client(sync_client=True) as client:
    answer = client.request("POST", "/events/filter", json={"filter": {"event": {"prefix": [sys.argv[1]]}}})
    print(json.dumps(answer.json()["events"]))
"""


def events(pipeline: Pipeline, prefix: str, name: str, count: int) -> list[dict[str, Any]]:
    """The server's events for the resource of this name, oldest first; waits for `count` of them."""
    until = time.monotonic() + 60
    while True:
        shown = subprocess.run(
            [sys.executable, "-c", EVENTS, prefix], env=pipeline.environment, capture_output=True, text=True, check=True
        ).stdout
        found = [event for event in json.loads(shown) if event["resource"].get("prefect.resource.name") == name]
        if len(found) >= count or time.monotonic() > until:
            return sorted(found, key=lambda event: event["occurred"])
        time.sleep(1)
