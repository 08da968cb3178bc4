"""A small data folder with everything that the site shows, made by real runs from a shell."""

from __future__ import annotations

import shutil
from pathlib import Path

from conftest import Pipeline, Result, write_corpus

from flows.pipeline.settings import default_settings, load_settings
from flows.pipeline.stages import STAGES
from tasks.shared.store.artifacts import Store
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
