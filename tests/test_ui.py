"""What people see in Prefect's UI, read through the server's API after small runs from a shell."""

from __future__ import annotations

import errno
import json
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Pipeline, Result, write_corpus

from tasks.shared.checks.report import CheckReport, Expected
from tasks.shared.errors import ArtifactError, CorpusError, DownloadError, is_transient
from tasks.shared.progress import progress, progress_listener, report_progress
from tasks.shared.ui.markdown import escape, table
from tasks.shared.ui.pages import about_check

NAME = "ui-test"
STAGES = "extraction cleaning splitting vocabulary tokenization linear training stacking evaluation".split()
HOSTILE = "<script>alert(1)</script> | *bold* [link](http://evil.example) `code`\n# no heading\n"


@dataclass
class Server:
    """The server's answers about one pipeline."""

    url: str
    name: str = NAME

    def ask(self, what: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{what}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def history(self, key: str) -> list[dict[str, Any]]:
        """All artifacts under a key, the newest first."""
        chosen = {"key": {"any_": [f"{self.name}-{key}"]}}
        found: list[dict[str, Any]] = self.ask("artifacts/filter", artifacts=chosen, sort="CREATED_DESC")
        return found

    def page(self, key: str) -> str:
        """The newest one's content, without the backslashes before punctuation."""
        return re.sub(r"\\(.)", r"\1", self.history(key)[0]["data"])

    def rows(self, key: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.history(key)[0]["data"])
        return found

    def task_runs(self, flow_run: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("task_runs/filter", flow_runs={"id": {"any_": [flow_run]}})
        return found


@dataclass
class Runs:
    """Three runs of one pipeline: the first, one that cleans in another way, one that a check stops."""

    server: Server
    pipeline: Pipeline
    failed: Result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]) -> Runs:
    root = tmp_path_factory.mktemp("ui")
    write_corpus(root / "texts")
    (root / "texts/label0/!.txt").write_text(HOSTILE)
    (root / "texts/label1/twin.txt").write_text((root / "texts/label1/000.txt").read_text())
    pipeline = Pipeline(root, prefect_server)
    pipeline.configure(name=NAME)
    pipeline.statuses()
    pipeline.statuses("--set", "cleaning.min_characters=19")
    failed = pipeline("run", "--set", "checks.extraction.documents=35", "--set", "checks.extraction.labels=3")
    return Runs(Server(prefect_server["PREFECT_API_URL"]), pipeline, failed)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_says_what_it_made_and_why(runs: Runs, stage: str):
    page = runs.server.page(stage)
    for fact in ("rows", "size", "folder", "built because"):
        assert f"| {fact} | " in page
    assert str(runs.pipeline.data) in page
    assert runs.server.history(stage)[0]["task_run_id"]
    rows = runs.server.rows(f"check-{stage}")
    assert rows
    assert all(row["holds"] in {"✓", "! warns", "✗ stops"} and row["observed"] and row["because"] for row in rows)


def test_labels_drops_and_sample_rows_are_shown(runs: Runs):
    assert "| label1 | 13 | 34.2% |" in runs.server.page("extraction")
    assert "### dropped\n\n1 rows" in runs.server.page("cleaning")
    assert "| exact_duplicate | 1 | 100.0% |" in runs.server.page("cleaning")
    assert "label0/000.txt" in runs.server.page("cleaning")
    assert "| train | 29 |" in runs.server.page("splitting")


def test_texts_of_the_corpus_stay_texts(runs: Runs):
    (row,) = [line for line in runs.server.history("extraction")[0]["data"].splitlines() if "alert" in line]
    assert "<script" not in row.replace("\\<", "")
    assert len(re.findall(r"(?<!\\)\|", row)) == 6  # the borders of five cells
    assert not re.search(r"(?<!\\)[*`#\[\]<>]", row)
    assert "<script>alert(1)</script> | *bold* [link](http://evil.example)" in runs.server.page("extraction")


def test_training_shows_its_progress_and_its_curve(runs: Runs):
    (bar,) = runs.server.history("training-progress")
    assert bar["type"] == "progress"
    assert float(bar["data"]) == 100
    (curve,) = runs.server.history("training-curve")
    assert curve["data"].count("](data:image/svg+xml;base64,") == 2
    assert "out-of-fold loss" in runs.server.page("training-curve")


def test_evaluation_shows_baselines_and_the_confusion_matrix(runs: Runs):
    page = runs.server.page("evaluation-metrics")
    for name in ("| model | ", "Majority class", "| label2 | "):
        assert name in page
    assert "](data:image/svg+xml;base64," in runs.server.history("evaluation-confusion")[0]["data"]


def test_labels_worth_a_second_look_have_a_page_and_a_line(runs: Runs):
    assert "labelled documents may have the wrong label." in runs.server.page("evaluation-doubtful")
    assert "| document | label | probability | suggested | probability |" in runs.server.page("evaluation-doubtful")
    assert re.search(
        r"labels worth a second look: \d+ of \d+, see doubtful_labels\.parquet", runs.server.page("retrain")
    )


def test_the_history_of_a_key_grows_with_what_is_built(runs: Runs):
    assert [len(runs.server.history(key)) for key in ("extraction", "cleaning", "check-extraction")] == [1, 2, 2]
    assert "settings min_characters: 20 → 19" in runs.server.page("cleaning")
    second, first = runs.server.history("retrain")
    assert first["description"].startswith("built: extraction, cleaning")
    assert second["description"].startswith("built: cleaning")
    assert "| splitting | reused | 37 |" in runs.server.page("retrain")


def test_a_failing_check_is_shown_and_what_to_do_next(runs: Runs):
    assert runs.failed.code == 1
    rows = runs.server.rows("check-extraction")
    assert rows[0]["holds"] == "✗ stops"
    assert rows[0]["observed"] == "38"
    assert "35" in rows[0]["expectation"]
    assert all(row["holds"] != "✗ stops" for row in rows[1:])
    (quarantined,) = (runs.pipeline.data / "quarantine").iterdir()
    page = runs.server.page("failure")
    assert "| stage | extraction |" in page
    assert str(quarantined) in page
    assert "`checks.extraction`" in page
    assert "    corpusflow run\n" in page


def test_runs_have_names_that_say_what_they_are(runs: Runs):
    flow_runs = runs.server.ask(
        "flow_runs/filter", flow_runs={"name": {"like_": f"retrain-{NAME}-"}}, sort="START_TIME_ASC"
    )
    assert len(flow_runs) == 3
    assert all(re.fullmatch(rf"retrain-{NAME}-\d{{4}}-\d\d-\d\d", run["name"]) for run in flow_runs)
    names = {task["name"] for task in runs.server.task_runs(flow_runs[0]["id"])}
    assert {"extract", "tokenize", "learn vocabulary", "check tokenization", "check evaluation"} <= names
    failed = {task["name"]: task["state_type"] for task in runs.server.task_runs(flow_runs[2]["id"])}
    assert failed["check extraction"] == "FAILED"


def test_a_persons_mistake_is_not_tried_again(pipeline: Pipeline):
    pipeline.configure(name="mistaken", extraction={"source": "folder", "folder": {"path": "nowhere"}})
    failed = pipeline("run")
    assert failed.code == 2
    assert "trying again" not in failed.err
    server = Server(pipeline.environment["PREFECT_API_URL"], "mistaken")
    assert "nowhere" in server.page("failure")
    assert "| stage | extraction |" in server.page("failure")


@pytest.mark.slow
def test_a_download_that_fails_is_tried_again(pipeline: Pipeline, tmp_path: Path):
    empty = {"nltk_data": str(tmp_path / "none"), "shared_nltk_data": str(tmp_path)}
    pipeline.configure(name="offline", extraction={"source": "brown", "brown": empty})
    nobody = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    served = pipeline.environment
    pipeline.environment = served | nobody | {"NLTK_DATA": "", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    failed = pipeline("run")
    assert failed.code == 2
    assert failed.err.strip().splitlines()[-1].startswith("corpusflow: Brown Corpus not found")
    server = Server(served["PREFECT_API_URL"])
    (flow_run,) = server.ask("flow_runs/filter", flow_runs={"name": {"like_": "retrain-offline-"}})
    (fetch,) = server.task_runs(flow_run["id"])
    assert fetch["name"] == "fetch for extraction"
    assert fetch["run_count"] == 3


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (DownloadError("broke off"), True),
        (caused(ArtifactError("x"), OSError(errno.ESTALE, "stale")), True),
        (caused(ArtifactError("x"), OSError(errno.ENOSPC, "full")), False),
        (OSError(errno.EACCES, "not yours"), False),
        (CorpusError("x"), False),
        (ValueError("x"), False),
    ],
    ids=repr,
)
def test_only_what_can_pass_is_worth_trying_again(error: Exception, passes: bool):
    assert is_transient(error) is passes


@pytest.mark.parametrize(
    "text", ["a|b", "<b>", "www.a.b", "https://a.b", "m@a.b", "_x_ *y* ~~z~~ `q`", "\\|", "&lt;", "![](x)"]
)
def test_no_punctuation_reaches_markdown_bare(text: str):
    assert not re.search(r"(?<!\\)(?:\\\\)*[^\w\s\\]", escape(text))
    assert re.sub(r"\\(.)", r"\1", escape(text)) == text


def test_a_cell_is_one_short_line_that_can_be_seen():
    assert escape("a\nb\x00c\u202ed") == "a b·c·d"
    assert len(escape("x" * 1000)) == 200
    assert table(("name", ">n"), [("a|b", 1234)]) == "| name | n |\n| :-- | --: |\n| a\\|b | 1,234 |\n"


def test_progress_is_told_to_who_listens_and_to_nobody_afterwards():
    heard: list[float] = []
    with progress_listener(heard.append):
        report_progress(0.25)
        assert list(progress([1, 2], "extraction", "documents", 2)) == [1, 2]
    report_progress(0.5)
    assert heard == [0.25]


def test_a_check_of_many_parts_has_one_page_with_a_row_for_each_expectation():
    results = [
        Expected(
            batch=f"documents/part-{part:05d}",
            expectation="expect_column_values_to_not_be_null",
            arguments={"column": "label"},
            reason="a text without a label teaches nothing",
            severity="critical",
            success=part != 77,
            observed=f"{int(part == 77)} of 100 rows",
            examples=[part] * (part == 77),
        )
        for part in range(134)
    ]
    (row,) = about_check("extraction", CheckReport(results=results)).rows
    assert row["observed"] == "not so in 1 of 13,400 rows"
    assert row["examples"] == "77"
