"""The site: which pages are written, what they say, and what they say of artifacts that are gone or damaged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Pipeline, Result
from site_data import HOSTILE_LABEL, make_site, write

from flows.pipeline.settings import load_settings
from flows.pipeline.site import refresh_after
from flows.pipeline.stages import STAGES
from tasks.cleaning import schema as cleaning
from tasks.evaluation.schema import DOUBTFUL_SCHEMA, MISTAKES_SCHEMA, WORDS_SCHEMA
from tasks.evaluation.summary import confusion_values
from tasks.extraction import schema as extraction
from tasks.promotion.schema import COMPARISON_SCHEMA, certainty
from tasks.shared.checks.report import Expected
from tasks.shared.checks.words import in_words, merged, sentence
from tasks.shared.out_of_fold import OUT_OF_FOLD
from tasks.shared.store.artifacts import Store, read_manifest
from tasks.shared.store.fingerprint import PROJECT, digest_of
from tasks.shared.store.records import RunRecord
from tasks.shared.ui.pages import RUN_NOTE, STAGE_NOTE, about_artifact, about_failure, about_run
from tasks.site.drawing.charts import histogram, nice_ticks, round_values
from tasks.site.drawing.graph import HEIGHT, WIDTH, draw
from tasks.site.drawing.render import breaks
from tasks.site.pages.run import graph_of
from tasks.site.reading import glossary
from tasks.site.reading.confusions import confused_labels
from tasks.site.reading.dropped import compare
from tasks.site.reading.shelf import Frame, Shelf
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.tokenization.schema import tokens_schema
from tasks.training.schema import GRADIENTS, HISTORY
from tasks.vocabulary.schema import TOKENS
from tasks.vocabulary.tokenizer_file import token_text

pytestmark = pytest.mark.timeout(900)  # four runs, on a machine that others use too


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]) -> tuple[Pipeline, list[Result]]:
    return make_site(tmp_path_factory.mktemp("site"), prefect_server)


@pytest.fixture
def copied(made: tuple[Pipeline, list[Result]], tmp_path: Path) -> Pipeline:
    """A data folder that a test may damage."""
    pipeline = made[0]
    shutil.copytree(pipeline.root, tmp_path / "copy", symlinks=True)
    text = (pipeline.root / "pipeline.yaml").read_text()
    (tmp_path / "copy/pipeline.yaml").write_text(text)
    for record in (tmp_path / "copy/data/runs").glob("*.json"):
        record.write_text(record.read_text().replace(str(pipeline.root), str(tmp_path / "copy")))
    return Pipeline(tmp_path / "copy", pipeline.environment)


def page(pipeline: Pipeline, name: str) -> str:
    """A page's text without markup."""
    html = (pipeline.data / "site" / name).read_text()
    body = re.sub(r"<(script|style)>.*?</\1>", " ", html.partition("<main")[2], flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body.replace("<wbr>", "")))


def run_pages(pipeline: Pipeline) -> list[str]:
    return sorted(f"runs/{path.stem}.html" for path in (pipeline.data / "runs").glob("*.json"))


def test_every_run_writes_the_site_and_names_its_page(made: tuple[Pipeline, list[Result]]):
    pipeline, results = made
    assert [result.code for result in results] == [0, 0, 0, 1], results[2].err
    first, *_, failed = run_pages(pipeline)
    assert f"site    {pipeline.data}/site/{first}" in results[0].out
    assert f"site: {pipeline.data}/site/{failed}" in results[3].err + results[3].out
    assert pipeline("site", "--json").json["written"] == []


def test_the_pages_answer_what_people_ask(made: tuple[Pipeline, list[Result]]):
    pipeline, _ = made
    first, again, third, failed = run_pages(pipeline)
    assert "setting seed : 0 → 3" in page(pipeline, third)
    assert "setting duplicates.near : &#34;group&#34; → &#34;drop&#34;" in page(pipeline, third)
    assert "cleaning.duplicates.near drop group" in page(pipeline, third)
    assert "nothing that it depends on has changed" in page(pipeline, again)
    assert "first time: the stage has no artifact yet" in page(pipeline, first)
    assert "Stopped in extraction." in page(pipeline, failed)
    assert "characters : at least 0 and at most 20,000" in page(pipeline, failed)
    assert "hostile-3" in page(pipeline, failed)
    quarantined = next((pipeline.data / "quarantine").iterdir()).name
    rejected = page(pipeline, f"quarantine/{quarantined}.html")
    assert "Its check failed" in rejected
    assert "Failed expectations: 1 " in rejected
    assert "no results of a check" not in rejected
    dropped = page(pipeline, "stages/cleaning.html")
    assert "same text as label0/000.txt" in dropped
    assert "nearly the text of label0/001.txt" in dropped
    assert "Characters Rows Share The champion’s share" in dropped
    assert 'class="outline"' in (pipeline.data / "site/stages/cleaning.html").read_text()
    assert 'class="outline"' not in (pipeline.data / "site/stages/extraction.html").read_text()  # the champion's own
    home = page(pipeline, "index.html")
    assert "is the champion since" in home
    assert "The newest run failed in extraction" in home
    assert "more frequent" not in home
    assert "Labels that are confused most" in page(pipeline, "stages/evaluation.html")
    assert "macro-F1 out of fold" in page(pipeline, "stages/stacking.html")
    compared = page(pipeline, "compare/index.html")
    assert compared.count(" champion ") - compared.count("the champion ") == 1
    comparison = next(path.name for path in (pipeline.data / "site/compare").iterdir() if path.name != "index.html")
    assert "texts that both were tested on" in page(pipeline, f"compare/{comparison}")
    assert "training.seed 0 3" in page(pipeline, f"compare/{comparison}")


def test_anchors_of_a_page_are_unique_and_lead_somewhere(made: tuple[Pipeline, list[Result]]):
    for path in (made[0].data / "site").glob("[!r]*/*.html"):
        html = path.read_text()
        anchors = re.findall(r' id="([^"]*)"', html)
        assert len(anchors) == len(set(anchors)), path
        assert set(re.findall(r'href="#([^"]*)"', html)) <= set(anchors), path


def test_a_run_names_the_model_that_its_comparison_shows(made: tuple[Pipeline, list[Result]]):
    pipeline, _ = made
    html = (pipeline.data / "site" / run_pages(pipeline)[2]).read_text()
    (link, model), *_ = re.findall(r'href="../(compare/[^"]*)">Compared with ([0-9a-f]+)<', html)
    assert f"Before: {model}" in page(pipeline, link)


def test_drift_from_a_former_champion_needs_no_attention(copied: Pipeline):
    (results,) = (copied.data / "checks/drift").glob("*.json")
    report = json.loads(results.read_text())
    report["results"][0] |= {"success": False, "severity": "warning"}
    results.write_text(json.dumps(report))
    write(copied)
    assert "Check of drift" in page(copied, "index.html")
    assert copied("champion", "--set", (copied.data / "07_models/latest").resolve().name).code == 0  # writes the site
    home = page(copied, "index.html")
    assert "Check of drift" not in home
    assert "None from those of the present champion" in home


def test_no_text_of_the_corpus_becomes_markup(made: tuple[Pipeline, list[Result]]):
    pages = list((made[0].data / "site").rglob("*.html"))
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
    report = (copied.data / "08_reports/latest").resolve()
    names = [f"label {i:04d}" for i in range(2000)]
    metrics = json.loads((report / "metrics.json").read_text())
    confusion = np.zeros((2000, 2000), int)
    confusion[7, 9] = 3
    one = next(iter(metrics["per_label"].values()))
    metrics |= {"labels": names, "per_label": dict.fromkeys(names, one)}
    metrics["confusion"] = confusion_values(names, confusion)
    (report / "metrics.json").write_text(json.dumps(metrics))
    rows = {"doc_id": ["a"], "label": [names[0]], "predicted": [names[1]]} | {f"probability_{n}": [0.0] for n in names}
    pq.write_table(pa.table(rows), report / "predictions.parquet")
    manifest = json.loads((report / "artifact.json").read_text()) | {"rows": 1}
    manifest.pop("seal")
    (report / "artifact.json").write_text(json.dumps(manifest | {"seal": digest_of(manifest)}))
    write(copied)
    text = page(copied, "stages/evaluation.html")
    assert "label 0007 label 0009 3" in text
    assert "more columns" in text
    assert (copied.data / "site/stages/evaluation.html").stat().st_size < 500_000


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


def test_a_run_that_fails_in_its_first_stage_has_a_graph(tmp_path: Path):
    record = RunRecord(
        id="one",
        flow="retrain",
        started="2026-01-01T00:00:00",
        status="failed",
        settings={},
        current_stage="extraction",
    )
    shelf = Shelf(Store(tmp_path), Frame("x", tuple(STAGES), {}))
    assert graph_of(shelf, record)[1] == ["extraction"]


def test_the_site_loads_no_heavy_library():
    heavy = {"prefect", "great_expectations", "torch", "sklearn", "scipy", "matplotlib", "pandas", "nltk"}
    code = f"import sys, tasks.site.site; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_stage_and_every_column_is_explained():
    assert set(STAGES) == set(glossary.STAGES)
    tables = {
        ("extraction", "documents"): extraction.DOCUMENTS,
        ("cleaning", "documents"): cleaning.DOCUMENTS,
        ("cleaning", "dropped"): cleaning.DROPPED,
        ("cleaning", "conflicts"): cleaning.CONFLICTS,
        ("splitting", "splits"): SPLITS_SCHEMA,
        ("vocabulary", "tokens"): TOKENS,
        ("tokenization", "tokens"): tokens_schema(300, "", ["x"]),
        ("linear", "words.out-of-fold.parquet"): OUT_OF_FOLD,
        ("training", "history.parquet"): HISTORY,
        ("training", "gradients.parquet"): GRADIENTS,
        ("evaluation", "doubtful_labels.parquet"): DOUBTFUL_SCHEMA,
        ("evaluation", "mistakes.parquet"): MISTAKES_SCHEMA,
        ("evaluation", "strongest_words.parquet"): WORDS_SCHEMA,
        ("promotion", "comparison.parquet"): COMPARISON_SCHEMA,
    }
    missing = {(*key, n) for key, schema in tables.items() for n in schema.names if not glossary.meaning(*key, n)}
    assert missing == set()
    assert glossary.meaning("vocabulary", "tokens", "text") != glossary.meaning("cleaning", "documents", "text")


def test_the_docs_explain_columns_in_the_same_words():
    written = (PROJECT / "docs/columns.md").read_text()
    lines = [f"| `{name}` | {words} |" for name, words in glossary.COLUMNS.items()]
    lines += [f"| {' '.join(key[:-1])} | `{key[-1]}` | {words} |" for key, words in glossary.OTHERS.items()]
    assert [line for line in lines if line not in written] == []


@pytest.mark.parametrize(("low", "high"), [(0.8, 0.8 + 1e-16), (0.0, 0.0), (0.2, 0.9), (-3.0, 1e6), (1e-12, 2e-12)])
def test_ticks_enclose_the_values(low: float, high: float):
    ticks = nice_ticks(low, high)
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low <= high <= ticks[-1] + 1e-9
    assert 2 <= len(ticks) <= 8


def test_lengths_of_two_samples_are_drawn_in_the_same_bins():
    now, before = [10, 10, 20, 400], [5, 10, 4000]
    drawn = histogram(now, before)
    assert sum(each.count for each in drawn.bins) == 4
    assert sum(each.share for each in drawn.bins) == pytest.approx(1)
    assert sum(each.before or 0 for each in drawn.bins) == pytest.approx(1)
    assert (drawn.bins[0].low, drawn.bins[-1].high) == (5, 4000)
    assert all(one.high + 1 == other.low for one, other in pairwise(drawn.bins))
    (ten,) = (each for each in drawn.bins if each.low <= 10 <= each.high)
    assert (ten.count, ten.share, ten.before) == (2, 0.5, pytest.approx(1 / 3))
    levels = [float(level) for level in re.findall(r"V([0-9.]+)H", drawn.outline)]
    assert [level < drawn.bottom for level in levels] == [bool(each.before) for each in drawn.bins]
    assert histogram(now).outline == ""


@pytest.mark.parametrize("values", [[7], [0], [1, 2], [3] * 9, [1, 10**7]])
def test_a_histogram_of_few_lengths(values: list[int]):
    drawn = histogram(values)
    assert sum(each.count for each in drawn.bins) == len(values)
    assert all(each.width > 0 and drawn.left <= each.x <= drawn.right for each in drawn.bins)
    assert all(drawn.left <= tick.at <= drawn.right for tick in drawn.x)


def test_a_logarithmic_axis_has_round_values():
    assert round_values(180, 3500) == [200, 500, 1000, 2000]
    assert round_values(1, 10**6) == [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    assert round_values(1200, 1800) == [1200, 1800]


def test_a_graph_has_no_overlapping_boxes_and_runs_to_the_right():
    edges = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"), ("x", "d"), ("d", "d"), ("gone", "d")]
    drawn = draw(["a", "b", "c", "d", "x"], edges)
    places = {box.name: (box.x, box.y) for box in drawn.boxes}
    for (x, y), (u, v) in combinations(places.values(), 2):
        assert abs(x - u) >= WIDTH or abs(y - v) >= HEIGHT
    assert {(line.source, line.target): line.shortcut for line in drawn.lines} == {
        **{("a", "b"): False, ("a", "c"): False, ("b", "d"): False, ("c", "d"): False},
        **{("a", "d"): True, ("x", "d"): False},
    }
    assert all(places[line.source][0] < places[line.target][0] for line in drawn.lines)
    assert draw([], []).lines == []


def test_figures_have_names():
    assert glossary.figure("training", "out_of_fold_log_loss") == "log-loss out of fold"
    assert glossary.figure("linear", "words_out_of_fold_accuracy") == "accuracy out of fold, words"
    assert glossary.figure("cleaning", "anything_else") == "anything else"


def test_pairs_of_labels_are_counted_in_both_directions():
    matrix = np.array([[9, 1, 2], [4, 9, 0], [2, 0, 9]])
    found = confused_labels({"confusion": confusion_values(["a", "b", "c"], matrix)})
    assert [(each.label, each.other, each.documents, each.there, each.back) for each in found] == [
        ("a", "b", 5, 1, 4),
        ("a", "c", 4, 2, 2),
    ]


def test_tokens_are_shown_as_text():
    assert [token_text(token) for token in ("Ġb", "Ċ", "âĤ", "[PAD]", "é")] == ["␣b", "⏎", "‹e2›‹82›", "[PAD]", "‹e9›"]


def test_settings_break_at_dots_and_underscores():
    assert breaks("a.b_c<") == "a.<wbr>b_<wbr>c&lt;"


def test_no_confidence_is_whole():
    assert [certainty(value) for value in (0.9532, 0.9995, 1.0)] == ["95.3 %", "over 99.9 %", "over 99.9 %"]


def expected(kind: str, observed: object, success: bool = True, **arguments: object) -> Expected:
    return Expected(
        batch="rows 0",
        expectation=kind,
        arguments=arguments,
        reason="r",
        severity="critical",
        success=success,
        observed=observed,
        examples=[] if success else [{"doc_id": "a\nb", "n": 3}],
        range=(1.0, 4000.0) if "min_value" in arguments else None,
    )


@pytest.mark.parametrize(
    ("result", "limit", "found"),
    [
        (
            expected("expect_column_values_to_be_between", "0 of 9 rows", column="n", min_value=20),
            "at least 20",
            "so in all 9 rows: 1 to 4,000",
        ),
        (
            expected("expect_column_values_to_be_in_set", "2 of 9 rows", False, column="n", value_set=["a", "b"]),
            "one of a, b",
            "not so in 2 of 9 rows",
        ),
        (expected("expect_column_values_to_be_in_set", True, column="n", value_set=[True]), "true", "true"),
        (expected("expect_column_values_to_be_in_set", 0, column="n", value_set=[0]), "0", "0"),
        (expected("expect_column_values_to_be_unique", "0 of 0 rows", column="n"), "unique", "no rows"),
        (expected("expect_table_row_count_to_be_between", 3, min_value=1, max_value=1), "exactly 1 rows", "3"),
        (
            expected("expect_column_values_to_not_be_null", "0 of 1 rows", column="n"),
            "present in every row",
            "so in 1 row",
        ),
        (
            expected("expect_column_pair_values_a_to_be_greater_than_b", 1, column_A="a", column_B="b", or_equal=True),
            "at least b",
            "1",
        ),
    ],
)
def test_an_expectation_in_words(result: Expected, limit: str, found: str):
    words = in_words(result)
    assert (words["limit"], words["found"], words["reason"]) == (limit, found, "r")


def test_a_failed_expectation_is_one_line_with_examples():
    failed = expected("expect_column_values_to_be_unique", "2 of 9 rows", False, column="doc_id")
    assert sentence(failed) == (
        "rows 0: doc_id: expected unique, found not so in 2 of 9 rows, for example doc_id a b, n 3 (r)"
    )


def test_numbered_batches_are_joined():
    bounds = {"column": "n", "min_value": 20}
    first = expected("expect_column_values_to_be_between", "0 of 9 rows", **bounds)
    other = expected("expect_column_values_to_be_between", "1 of 5 rows", False, **bounds)
    (joined,) = merged([first, other.model_copy(update={"batch": "rows 1"})])
    assert (joined.batch, joined.observed, joined.success) == ("rows", "1 of 14 rows", False)


def test_near_duplicates_show_where_they_differ():
    mine, theirs = compare("a b c d", "a x c d e")
    assert [(piece.text, piece.own) for piece in mine] == [("a", False), ("b", True), ("c d", False)]
    assert [(piece.text, piece.own) for piece in theirs] == [("a", False), ("x", True), ("c d", False), ("e", True)]


def test_the_page_in_prefects_ui_links_to_a_site_that_is_served():
    record = RunRecord(id="a", flow="retrain", started="", settings={"site_url": "https://site.example/x/"})
    assert "(https://site.example/x/runs/a.html)" in about_run(record).text
    assert "](" not in about_run(record.model_copy(update={"settings": {}})).text


def test_the_pages_of_stages_and_failures_link_to_it_too(made: tuple[Pipeline, list[Result]]):
    path = (made[0].data / "03_splits/latest").resolve()
    shown = about_artifact(read_manifest(path), path, path, [], None, "https://site.example").text
    assert f"(https://site.example/artifacts/splitting-{path.name}.html)" in shown
    assert (made[0].data / f"site/artifacts/splitting-{path.name}.html").exists()
    error = ValueError("x")
    error.add_note(f"{STAGE_NOTE}training")
    error.add_note(f"{RUN_NOTE}20260101-000000-abcd")
    shown = about_failure("retrain", error, site="https://site.example").text
    assert "(https://site.example/runs/20260101-000000-abcd.html)" in shown
    assert "](" not in about_failure("retrain", error).text
    assert "](" not in about_failure("predict", ValueError("no run"), site="https://site.example").text


def test_a_report_in_the_site_links_to_its_run_and_its_artifacts(made: tuple[Pipeline, list[Result]]):
    pipeline, _ = made
    model = (pipeline.data / "07_models/latest").resolve().name
    report = (pipeline.data / "08_reports/latest").resolve().name
    html = (pipeline.data / f"site/reports/{report}.html").read_text()
    assert f'href="../artifacts/stacking-{model}.html"' in html
    assert f'href="../{run_pages(pipeline)[2]}"' in html
    assert f"Model <code>{model[:10]}</code>" in html


def test_the_notebook_answers_its_questions(made: tuple[Pipeline, list[Result]]):
    pipeline = made[0]
    environment = pipeline.environment | {"DATA": str(pipeline.data)}
    command = [sys.executable, str(PROJECT / "examples/questions.py")]
    done = subprocess.run(command, cwd=pipeline.root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dropped: 2 texts\nleaked: ")
    assert "runs in the last week: 4\nlabels worth a second look: " in done.stdout
