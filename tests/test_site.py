"""The site: which pages are written, and what they say of artifacts that are gone or damaged."""

from __future__ import annotations

import json
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Pipeline, Result
from site_data import HOSTILE_LABEL, page, run_pages, two_thousand_labels, write

from flows.pipeline.settings import load_settings
from flows.pipeline.site import refresh_after
from tasks.shared.store.artifacts import read_manifest
from tasks.shared.store.records import RunRecord
from tasks.shared.ui.pages import RUN_NOTE, STAGE_NOTE, about_artifact, about_failure

pytestmark = pytest.mark.timeout(900)  # four runs, on a machine that others use too


def test_every_run_writes_the_site_and_names_its_page(site_runs: tuple[Pipeline, list[Result]]):
    pipeline, results = site_runs
    assert [result.code for result in results] == [0, 0, 0, 1], results[2].err
    first, *_, failed = run_pages(pipeline)
    assert f"site    {pipeline.data}/site/{first}" in results[0].out
    assert f"site: {pipeline.data}/site/{failed}" in results[3].err + results[3].out
    assert pipeline("site", "--json").json["written"] == []


def test_no_text_of_the_corpus_becomes_markup(site_runs: tuple[Pipeline, list[Result]]):
    pages = list((site_runs[0].data / "site").rglob("*.html"))
    assert len(pages) > 30
    for path in pages:
        html = path.read_text()
        assert HOSTILE_LABEL not in html
        assert "<script>window" not in html
        assert not any(sign in html for sign in "\u202e\u2066\u0007")
        assert "http:" not in html.replace("http://www.w3.org", "").replace("http://purl.org", "")
        assert "https:" not in html.replace("https://matplotlib.org", "")


def test_only_what_changed_is_written_and_what_is_gone_is_removed(copied: Pipeline):
    write(copied)
    assert write(copied).written == []
    newest = sorted((copied.data / "runs").glob("*.json"))[-1]
    record = json.loads(newest.read_text()) | {"id": "20990101-000000-abcd", "started": "2099-01-01T00:00:00+00:00"}
    (copied.data / "runs/20990101-000000-abcd.json").write_text(json.dumps(record))
    assert set(write(copied).written) == {"index.html", "runs/index.html", "runs/20990101-000000-abcd.html"}
    (copied.data / "runs/20990101-000000-abcd.json").unlink()
    assert write(copied).removed == ["runs/20990101-000000-abcd.html"]
    assert not (copied.data / "site/runs/20990101-000000-abcd.html").exists()


def test_a_thousand_runs_are_written_in_seconds_and_no_page_grows(copied: Pipeline):
    template = json.loads(sorted((copied.data / "runs").glob("*.json"))[0].read_text())
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    for number in range(1000):
        moment = begin + timedelta(hours=number)
        name = f"{moment:%Y%m%d-%H%M%S}-{number:04x}"
        record = template | {"id": name, "started": moment.isoformat(timespec="seconds")}
        (copied.data / f"runs/{name}.json").write_text(json.dumps(record))
    shutil.rmtree(copied.data / "site")
    started = time.process_time()
    assert len(write(copied).written) > 1000
    assert time.process_time() - started < 10
    started = time.process_time()
    assert write(copied).written == []
    assert time.process_time() - started < 2
    site = copied.data / "site"
    assert (site / "index.html").stat().st_size < 200_000
    assert len(list((site / "runs").glob("page-*.html"))) == 10


def test_an_artifact_that_was_pruned_is_said_to_be_gone(copied: Pipeline):
    shutil.rmtree(copied.data / "05_tokens")
    shutil.rmtree(copied.data / "01_documents")
    write(copied)
    first = run_pages(copied)[0]
    assert "its artifact was removed" in page(copied, first)
    assert 'class="title" x="10" y="21">tokenization<' in (copied.data / "site" / first).read_text()
    assert "Its newest artifact was removed" in page(copied, "stages/tokenization.html")


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        ("02_cleaned/latest/documents/part-00000.parquet", "Its tables cannot be shown"),
        ("02_cleaned/latest/artifact.json", "Its manifest cannot be read"),
        ("03_splits/latest/artifact.json", None),
        ("08_reports/latest/metrics.json", None),
        ("champion", None),
        ("checks/cleaning", None),
    ],
)
def test_a_damaged_artifact_keeps_no_page_from_being_written(copied: Pipeline, damaged: str, said: str | None):
    path = copied.data / damaged
    for file in [path] if path.is_file() else path.iterdir():
        file.write_bytes(b"\x00damaged")
    shutil.rmtree(copied.data / "site")
    write(copied)
    assert said is None or said in page(copied, "stages/cleaning.html")
    assert "Newest runs" in page(copied, "index.html")
    pages = [path for path in (copied.data / "site").rglob("*.html") if "<h1>This page cannot" in path.read_text()]
    assert pages == []


def test_a_record_of_an_earlier_version_has_its_graph_too(copied: Pipeline):
    first = copied.data / run_pages(copied)[0].replace(".html", ".json")
    record = json.loads(first.read_text())
    record.pop("quarantine")
    for entry in record["stages"]:
        entry.pop("inputs")
    first.write_text(json.dumps(record))
    (copied.data / "runs/20200101-000000-0000.json").write_text('{"id": 1}')
    write(copied)
    html = (copied.data / "site" / run_pages(copied)[1]).read_text()
    assert html.count('<path class="edge') > 10


def test_two_thousand_labels_fit(copied: Pipeline):
    two_thousand_labels(copied)
    write(copied)
    text = page(copied, "stages/evaluation.html")
    assert "label 0007 label 0009 3" in text
    assert "more columns" in text
    assert (copied.data / "site/stages/evaluation.html").stat().st_size < 500_000
    assert "and 1,960 more values" in page(copied, "stages/extraction.html")


def test_a_comparison_is_added_by_name(copied: Pipeline):
    records = [RunRecord.model_validate_json(path.read_bytes()) for path in sorted((copied.data / "runs").iterdir())]
    result = copied("site", "--json", "--compare", records[2].id, records[0].id)
    assert result.code == 0, result.err
    assert Path(result.json["comparison"]).exists()
    refused = copied("site", "--compare", "nothing", records[0].id)
    assert refused.code == 2
    assert "no measured run or model with a report starts with it" in refused.err
    same = copied("site", "--compare", records[1].id, records[0].id)
    assert same.code == 2
    assert "name the same model" in same.err


def test_the_first_page_opens_in_the_browser(copied: Pipeline, tmp_path: Path):
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$*" >> "{asked}"\n')
    browser.chmod(0o755)
    shell = Pipeline(copied.root, copied.environment | {"BROWSER": str(browser)})
    result = shell("site", "--open")
    assert result.code == 0, result.err
    assert asked.read_text() == (copied.data / "site/index.html").as_uri()
    asked.unlink()
    records = sorted((copied.data / "runs").iterdir())
    result = shell("site", "--json", "--open", "--compare", records[0].stem, records[2].stem)
    assert asked.read_text() == Path(result.json["comparison"]).as_uri()


def test_without_a_browser_the_page_is_named(copied: Pipeline, tmp_path: Path):
    nothing = {"PATH": str(tmp_path), "BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    result = Pipeline(copied.root, copied.environment | nothing)("site", "--open")
    assert result.code == 0, result.err
    assert result.err == "site: no browser could be opened; the page is named below\n"
    assert result.out.startswith(str(copied.data / "site/index.html"))


def test_a_site_that_cannot_be_written_only_warns(copied: Pipeline, caplog: pytest.LogCaptureFixture):
    shutil.rmtree(copied.data / "site")
    (copied.data / "site").write_text("in the way")
    assert refresh_after(load_settings(copied.root / "pipeline.yaml"), "x") is None
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.getMessage().startswith("site: could not be written (")
    assert "\n" not in warning.getMessage()


def test_a_damaged_index_removes_nothing_outside_the_site(copied: Pipeline):
    index = copied.data / "site" / ".pages.json"
    for text in ("null", json.dumps({"../../pipeline.yaml": "x", "runs/gone.html": "y"})):
        index.write_text(text)
        write(copied)
        assert (copied.root / "pipeline.yaml").exists()
    assert "runs/gone.html" not in json.loads(index.read_text())


def test_the_pages_of_stages_and_failures_link_to_it_too(site_runs: tuple[Pipeline, list[Result]]):
    path = (site_runs[0].data / "03_splits/latest").resolve()
    shown = about_artifact(read_manifest(path), path, path, [], None, "https://site.example").text
    assert f"(https://site.example/artifacts/splitting-{path.name}.html)" in shown
    assert (site_runs[0].data / f"site/artifacts/splitting-{path.name}.html").exists()
    error = ValueError("x")
    error.add_note(f"{STAGE_NOTE}training")
    error.add_note(f"{RUN_NOTE}20260101-000000-abcd")
    shown = about_failure("retrain", error, site="https://site.example").text
    assert "(https://site.example/runs/20260101-000000-abcd.html)" in shown
    assert "](" not in about_failure("retrain", error).text
    assert "](" not in about_failure("predict", ValueError("no run"), site="https://site.example").text
