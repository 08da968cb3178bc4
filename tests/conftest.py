"""Fixtures that several test modules share: small corpora, and the command line against a real Prefect server."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from benchmarks.torture.server import Server

PROJECT = Path(__file__).resolve().parents[1]
os.environ["GX_ANALYTICS_ENABLED"] = "false"

hypothesis.settings.register_profile("corpusflow", deadline=None)  # a shared machine can be slow
hypothesis.settings.load_profile("corpusflow")

TINY = {
    "extraction": {"source": "folder", "folder": {"path": "texts"}},
    "vocabulary": {"size": 400},
    "training": {"epochs": 2, "hidden_size": 8, "embedding_size": 8, "window": 32, "windows": 50, "device": "cpu"},
    "evaluation": {"bootstrap_samples": 100},
    "checks": {"training": {"min_gain_over_majority": -1}},
}
"""Settings under which a run takes seconds."""


def write_corpus(folder: Path, labels: int = 3, documents: int = 12, seed: int = 0) -> None:
    """A corpus in the folder layout; each label has some words of its own."""
    rng = random.Random(seed)
    common = "the of and to a in that is was he for it with as his on be at by had".split()
    for label in range(labels):
        own = [f"{stem}{label}" for stem in "apple river stone cloud tiger".split()]
        for number in range(documents):
            path = folder / f"label{label}" / f"{number:03d}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            words = [rng.choice(own if rng.random() < 0.3 else common) for _ in range(80)]
            path.write_text(" ".join(words) + f".\n\nParagraph two of text {label}-{number} {rng.random()}.\n")


@dataclass
class Result:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def as_in_a_terminal() -> None:
    """Undoes what children of tests inherit that a shell started in the background, or nohup: signals are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass
class Pipeline:
    """A folder with a corpus and a pipeline.yaml; calling it runs a command there as a user's shell does."""

    root: Path
    environment: dict[str, str]

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def texts(self) -> Path:
        return self.root / "texts"

    def configure(self, **sections: Any) -> None:
        merged = json.loads(json.dumps(TINY))
        for name, values in sections.items():
            if isinstance(values, dict):
                merged.setdefault(name, {}).update(values)
            else:
                merged[name] = values
        (self.root / "pipeline.yaml").write_text(yaml.safe_dump(merged))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=as_in_a_terminal,  # noqa: PLW1509
        )

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def statuses(self, *arguments: str) -> dict[str, str]:
        """Runs the pipeline; returns the status of each stage."""
        result = self("run", "--json", *arguments)
        assert result.code == 0, result.err
        return {stage["stage"]: stage["status"] for stage in result.json["stages"]}

    def stage_path(self, stage: str) -> Path:
        result = self("path", stage)
        assert result.code == 0, result.err
        return Path(result.out.strip())


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A real Prefect server with a home of its own, on a free port; yields the environment that selects it."""
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    server = Server(Path(environment["PREFECT_HOME"]), environment)
    try:
        server.start()
        yield environment | {"PREFECT_API_URL": server.url}
    finally:
        server.stop()


@pytest.fixture
def pipeline(tmp_path: Path, prefect_server: dict[str, str]) -> Pipeline:
    """A small corpus without any run yet."""
    write_corpus(tmp_path / "texts")
    made = Pipeline(tmp_path, prefect_server)
    made.configure()
    return made


@pytest.fixture(scope="session")
def brown_environment() -> dict[str, str]:
    """NLTK_DATA of this machine; empty if there is none: extraction then downloads it."""
    candidates = [os.environ.get("NLTK_DATA", ""), PROJECT / "data/nltk_data", PROJECT.parent / "shared/nltk_data"]
    found = [str(place) for place in candidates if place and (Path(place) / "corpora/brown.zip").exists()]
    return {"NLTK_DATA": found[0]} if found else {}


@pytest.fixture(scope="session")
def site_runs(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]
) -> tuple[Pipeline, list[Result]]:
    """Runs that have everything that the site shows; tests only read them."""
    from site_data import make_site

    return make_site(tmp_path_factory.mktemp("site"), prefect_server)


@pytest.fixture
def copied(site_runs: tuple[Pipeline, list[Result]], tmp_path: Path) -> Pipeline:
    """A copy of their data folder that a test may damage."""
    from site_data import copy_of

    return copy_of(site_runs[0], tmp_path / "copy")
