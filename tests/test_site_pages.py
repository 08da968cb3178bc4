"""What the pages of the site say, made of real runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Pipeline, Result
from scipy.stats import binomtest
from site_data import page, rewrite_manifest, run_pages, write

from tasks.shared.store.fingerprint import PROJECT

pytestmark = pytest.mark.timeout(900)  # four runs, on a machine that others use too


def test_the_pages_answer_what_people_ask(site_runs: tuple[Pipeline, list[Result]]):
    pipeline, _ = site_runs
    first, again, third, failed = run_pages(pipeline)
    assert "setting seed : 0 → 3" in page(pipeline, third)
    assert "setting duplicates.near : &#34;group&#34; → &#34;drop&#34;" in page(pipeline, third)
    assert "cleaning.duplicates.near drop group" in page(pipeline, third)
    assert "nothing that it depends on has changed" in page(pipeline, again)
    assert "first time: the stage has no artifact yet" in page(pipeline, first)
    assert "Why it ran First time: the stage has no artifact yet. What ran" in page(pipeline, first)
    assert "Why it ran Nothing had changed: all 9 stages were reused." in page(pipeline, again)
    caused = page(pipeline, third).partition("Why it ran")[2].partition("What ran")[0]
    assert "cleaning setting duplicates.near : &#34;group&#34; → &#34;drop&#34;" in caused
    assert "training setting seed : 0 → 3" in caused
    assert "promotion the champion has changed" in caused
    assert "input " not in caused.partition("stages were built")[0]
    assert "Stopped in extraction." in page(pipeline, failed)
    assert "Why it ran" not in page(pipeline, failed)  # what it was about to build is not known
    assert "characters : at least 0 and at most 20,000" in page(pipeline, failed)
    assert "hostile-3" in page(pipeline, failed)
    quarantined = next((pipeline.data / "quarantine").iterdir()).name
    rejected = page(pipeline, f"quarantine/{quarantined}.html")
    assert "Its check failed" in rejected
    assert "Failed expectations: 1 " in rejected
    assert "no results of a check" not in rejected
    dropped = page(pipeline, "stages/cleaning.html")
    assert "dropped 1 exact duplicates, 1 near duplicates" in dropped
    assert "same text as label0/000.txt" in dropped
    assert "nearly the text of label0/001.txt" in dropped
    assert "Characters Rows Share The champion’s share" in dropped
    assert 'class="outline"' in (pipeline.data / "site/stages/cleaning.html").read_text()
    assert '<th scope="col">given_split' not in (pipeline.data / "site/stages/cleaning.html").read_text()  # all empty
    artifacts = (pipeline.data / "site/artifacts").glob("cleaning-*.html")
    assert all('class="outline"' not in path.read_text() for path in artifacts)  # only the newest one is compared
    home = page(pipeline, "index.html")
    assert "is the champion since" in home
    assert "4 runs; the newest began on" in home
    assert "Its labels that are confused most: " in home
    assert "The newest run failed in extraction" in home
    assert "more frequent" not in home
    assert "Labels that are confused most" in page(pipeline, "stages/evaluation.html")
    assert "macro-F1 out of fold" in page(pipeline, "stages/stacking.html")
    compared = page(pipeline, "compare/index.html")
    assert compared.count(" champion ") - compared.count("the champion ") == 1


def test_home_says_what_needs_attention(copied: Pipeline):
    latest = {folder.parent.name: folder.resolve() for folder in copied.data.glob("*/latest")}
    rewrite_manifest(latest["02_cleaned"], {"conflicting_labels": 1})
    rewrite_manifest(latest["09_promotions"], {"promote": True, "new_labels": {"<b>new": 3}})
    newest = next(path for path in sorted((copied.data / "runs").glob("*.json"), reverse=True) if _metrics(path))
    record = json.loads(newest.read_text())
    record["metrics"]["doubtful_labels"] = {"documents": 1, "labelled": 1234}
    newest.write_text(json.dumps(record))
    write(copied)
    html = (copied.data / "site/index.html").read_text()
    notices = re.findall(r'<li class="(?:warn|bad)"><a href="([^"]*)">(.*?)</a>', html)
    (failed,) = (text for link, text in notices if link == run_pages(copied)[3])
    assert failed.startswith("The newest run failed in extraction: ")
    compared = pq.read_table(latest["09_promotions"] / "comparison.parquet").num_rows
    (warned,) = (text for link, text in notices if link == "stages/promotion.html#check")
    assert f"documents at least 30, found {compared} (" in warned
    waits = f"A better model waits for a person: `corpusflow champion --set {latest['07_models'].name[:10]}`"
    assert [text for link, text in notices if link == "stages/promotion.html#decision"] == [
        *(waits, "Labels that the champion does not know: &lt;b&gt;new")
    ]
    look = "1 of 1,234 labels are worth a second look"
    assert ("stages/evaluation.html#table-doubtful_labels.parquet", look) in notices
    conflict = "1 text under more than one label: see the table conflicts"
    assert ("stages/cleaning.html#table-conflicts", conflict) in notices
    for link, _ in notices:
        name, _, anchor = link.partition("#")
        assert f' id="{anchor}"' in (copied.data / "site" / name).read_text() or not anchor


def _metrics(record: Path) -> object:
    return json.loads(record.read_text())["metrics"]


def test_tokens_are_drawn_with_their_boundaries(site_runs: tuple[Pipeline, list[Result]]):
    pipeline, _ = site_runs
    html = (pipeline.data / "site/stages/tokenization.html").read_text()
    cells = re.findall(r'<td class="text tokens">(.*?)</td>', html, re.DOTALL)
    rows = pq.read_table(pipeline.data / "05_tokens/latest/tokens").to_pylist()
    documents = pq.read_table(pipeline.data / "02_cleaned/latest/documents").to_pylist()
    texts = {document["doc_id"]: document["text"] for document in documents}
    assert len(cells) == len(rows)
    compared = 0
    for cell, row in zip(cells, rows, strict=True):
        pieces = [unescape(piece) for piece in re.findall(r"<i>(.*?)</i>", cell, re.DOTALL)]
        assert len(pieces) == min(len(row["token_ids"]), 120)
        whole = texts[row["doc_id"]].isascii() and not any(piece.endswith("…") for piece in pieces)
        compared += whole
        assert not whole or texts[row["doc_id"]].startswith("".join(pieces))
    assert compared > 40


def test_two_models_are_compared_by_their_own_scores_and_on_common_texts(site_runs: tuple[Pipeline, list[Result]]):
    pipeline, _ = site_runs
    (link,) = {path.name for path in (pipeline.data / "site/compare").iterdir()} - {"index.html", ".pairs.json"}
    compared = page(pipeline, f"compare/{link}")
    sides = [next((pipeline.data / "08_reports").glob(f"{name}*")) for name in link.removesuffix(".html").split("-")]
    metrics = [json.loads((side / "metrics.json").read_text()) for side in sides]
    for key, title in (("accuracy", "Accuracy"), ("macro_f1", "Macro-F1")):
        each = [(side[key], *side[f"{key}_interval"]) for side in metrics]
        line = " ".join(f"{value:.3f} {low:.3f} to {high:.3f}" for value, low, high in each)
        assert f"{title} {line}" in compared
    before, after = (
        {row["doc_id"]: row["predicted"] == row["label"] for row in table.to_pylist()}
        for table in (pq.read_table(side / "predictions.parquet") for side in sides)
    )
    both = [(before[doc_id], after[doc_id]) for doc_id in before.keys() & after.keys()]
    gained, lost = both.count((False, True)), both.count((True, False))
    p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert f"On the {len(both)} texts that both were tested on, accuracy went from" in compared
    assert f"{gained} became right, {lost} became wrong; McNemar p = {p:.3g}" in compared
    assert re.search(r"95 % interval [−+]\d\.\d{3} to [−+]\d\.\d{3}", compared)
    assert "Both know the same labels." in compared
    assert "training.seed 0 3" in compared


def test_labels_that_a_model_gained_and_lost_are_named(copied: Pipeline):
    (link,) = {path.name for path in (copied.data / "site/compare").iterdir()} - {"index.html"}
    for name, label in zip(link.removesuffix(".html").split("-"), ("<gone>", "<new>"), strict=True):
        (metrics,) = copied.data.glob(f"08_reports/{name}*/metrics.json")
        values = json.loads(metrics.read_text())
        metrics.write_text(json.dumps(values | {"labels": [*values["labels"], label]}))
    shutil.rmtree(copied.data / "site")
    write(copied)
    assert "Gained: &lt;new&gt;. Lost: &lt;gone&gt;." in page(copied, f"compare/{link}")


def test_a_run_says_how_many_texts_its_corpus_gained(copied: Pipeline):
    third = copied.data / run_pages(copied)[2].replace(".html", ".json")
    record = json.loads(third.read_text())
    record["stages"][0] |= {"status": "built", "reasons": ["sources folder: aa → bb"], "rows": 1077}
    third.write_text(json.dumps(record))
    write(copied)
    caused = page(copied, run_pages(copied)[2]).partition("Why it ran")[2].partition("What ran")[0]
    assert re.search(r"extraction corpus folder has changed aa → bb \d+ → 1,077 texts", caused)


def test_anchors_of_a_page_are_unique_and_lead_somewhere(site_runs: tuple[Pipeline, list[Result]]):
    for path in (site_runs[0].data / "site").glob("[!r]*/*.html"):
        html = path.read_text()
        anchors = re.findall(r' id="([^"]*)"', html)
        assert len(anchors) == len(set(anchors)), path
        assert set(re.findall(r'href="#([^"]*)"', html)) <= set(anchors), path
        for page_of, anchor in re.findall(r'href="([^"#:]+)#([^"]*)"', html):
            assert f' id="{anchor}"' in (path.parent / page_of).read_text(), (path, page_of, anchor)


def test_a_run_names_the_model_that_its_comparison_shows(site_runs: tuple[Pipeline, list[Result]]):
    pipeline, _ = site_runs
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


def test_a_report_in_the_site_links_to_its_run_and_its_artifacts(site_runs: tuple[Pipeline, list[Result]]):
    pipeline, _ = site_runs
    model = (pipeline.data / "07_models/latest").resolve().name
    report = (pipeline.data / "08_reports/latest").resolve().name
    html = (pipeline.data / f"site/reports/{report}.html").read_text()
    assert f'href="../artifacts/stacking-{model}.html"' in html
    assert f'href="../{run_pages(pipeline)[2]}"' in html
    assert f"Model <code>{model[:10]}</code>" in html


def test_the_notebook_answers_its_questions(site_runs: tuple[Pipeline, list[Result]]):
    pipeline = site_runs[0]
    environment = pipeline.environment | {"DATA": str(pipeline.data)}
    command = [sys.executable, str(PROJECT / "examples/questions.py")]
    done = subprocess.run(command, cwd=pipeline.root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dropped: 2 texts\nleaked: ")
    assert "runs in the last week: 4\nlabels worth a second look: " in done.stdout
