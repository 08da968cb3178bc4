"""A small data folder with everything that the site shows, made by real runs from a shell."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import Pipeline, Result, write_corpus
from test_report import make_report

from flows.pipeline.settings import default_settings, load_settings
from flows.pipeline.stages import STAGES
from tasks.evaluation.report import render
from tasks.evaluation.summary import confusion_values
from tasks.shared.store.artifacts import Store
from tasks.shared.store.fingerprint import digest_of
from tasks.site.reading.shelf import Frame
from tasks.site.site import Written, refresh

HOSTILE_LABEL = "<img src=x onerror=hacked=1>"
HOSTILE_TEXTS = (
    "<script>window.hacked = 1</script> apple1 </td></table><h1>heading</h1> river1",
    "\u202eesrever ni txet\u2066 stone1 \u200b\u0007 the of and",
    "word " + "x" * 10_000 + " cloud1",
    "apple1 river1 the of and to " * 40_000,  # a megabyte
)


def make_site(root: Path, environment: dict[str, str]) -> tuple[Pipeline, list[Result]]:
    """Four runs: the first; nothing new; another model after a text was dropped; one that a check stops."""
    write_corpus(root / "texts", documents=14)
    write_corpus(root / "hostile", labels=1, documents=14, seed=5)
    (root / "hostile/label0").rename(root / "texts" / HOSTILE_LABEL)
    for number, text in enumerate(HOSTILE_TEXTS):
        (root / "texts/label1" / f"hostile-{number}.txt").write_text(text)
    shutil.copy(root / "texts/label0/000.txt", root / "texts/label0/twin.txt")
    near = (root / "texts/label0/001.txt").read_text()
    (root / "texts/label0/near.txt").write_text(f"{near} more")
    pipeline = Pipeline(root, environment)
    pipeline.configure(
        name="site-test",
        linear={"members": ["words"]},
        evaluation={"baselines": ["majority", "naive_bayes"], "bootstrap_samples": 100},
    )
    results = [
        pipeline("run"),
        pipeline("run"),
        pipeline("run", "--set", "cleaning.duplicates.near=drop", "--set", "training.seed=3"),
        pipeline("run", "--set", "checks.extraction.max_characters=20000", "--set", "checks.extraction.documents=null"),
    ]
    return pipeline, results


def write(pipeline: Pipeline) -> Written:
    """Refreshes the site in this process."""
    settings = load_settings(pipeline.root / "pipeline.yaml")
    defaults = default_settings(settings).model_dump(mode="json")
    return refresh(Store(settings.data), Frame(settings.name, tuple(STAGES), defaults))


def page(pipeline: Pipeline, name: str) -> str:
    """A page's text without markup."""
    html = (pipeline.data / "site" / name).read_text()
    body = re.sub(r"<(script|style)>.*?</\1>", " ", html.partition("<main")[2], flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body.replace("<wbr>", "")))


def run_pages(pipeline: Pipeline) -> list[str]:
    """The pages of the runs, oldest first."""
    return sorted(f"runs/{path.stem}.html" for path in (pipeline.data / "runs").glob("*.json"))


def copy_of(pipeline: Pipeline, folder: Path) -> Pipeline:
    """The same data in a folder that a test may damage."""
    shutil.copytree(pipeline.root, folder, symlinks=True)
    for record in (folder / "data/runs").glob("*.json"):
        record.write_text(record.read_text().replace(str(pipeline.root), str(folder)))
    return Pipeline(folder, pipeline.environment)


def rewrite_manifest(artifact: Path, summary: Mapping[str, Any] | None = None, **changes: Any) -> None:
    """Changes a manifest, and some of its summary, so that the artifact's pages are written again."""
    manifest = json.loads((artifact / "artifact.json").read_text()) | changes
    manifest["summary"] |= summary or {}
    manifest.pop("seal")
    (artifact / "artifact.json").write_text(json.dumps(manifest | {"seal": digest_of(manifest)}))


def two_thousand_labels(pipeline: Pipeline) -> None:
    """Gives the newest report and the newest documents 2,000 labels, and both a text of a megabyte.

    The documents come out of quarantine for it.
    """
    names = [f"label {i:04d}" for i in range(2000)]
    report = (pipeline.data / "08_reports/latest").resolve()
    metrics = json.loads((report / "metrics.json").read_text())
    confusion = np.zeros((2000, 2000), int)
    confusion[7, 9] = 3
    one = next(iter(metrics["per_label"].values()))
    metrics |= {"labels": names, "per_label": dict.fromkeys(names, one)}
    metrics["confusion"] = confusion_values(names, confusion)
    (report / "metrics.json").write_text(json.dumps(metrics))
    rows = {"doc_id": ["a"], "label": [names[0]], "predicted": [names[1]]} | {f"probability_{n}": [0.0] for n in names}
    pq.write_table(pa.table(rows), report / "predictions.parquet")
    (report / "report.html").write_text(render(make_report((*names[:-1], "label 1999 " + "x" * 300), documents=60)))
    rewrite_manifest(report, rows=1)
    documents = (pipeline.data / "01_documents/latest").resolve()
    (rejected,) = (pipeline.data / "quarantine").glob("01_documents-*")
    rejected.rename(documents)
    (part,) = (documents / "documents").glob("*.parquet")
    row = pq.read_table(part).to_pylist()[0]
    texts = ["x" * 1_000_000, "a word " * 150_000, *["some words"] * 1998]
    many = [row | {"doc_id": f"{i:04d}", "label": names[i], "text": text} for i, text in enumerate(texts)]
    pq.write_table(pa.Table.from_pylist(many, pq.read_schema(part)), part)
    rewrite_manifest(documents, rows=2000)
