"""The report: escaped, self-contained, readable by eye and by machine."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from evaluation_inputs import HOSTILE

from tasks.evaluation import figures
from tasks.evaluation.calibration import probabilities_of, reliability
from tasks.evaluation.gradient_figures import gradient_pictures
from tasks.evaluation.report import Report, excerpt, find_mistakes, render, stages, verdict
from tasks.evaluation.results import Comparison, Estimate, Predictions, Reach, Resampling, Scores, Validated
from tasks.evaluation.scores import evaluate
from tasks.shared.plots.drawing import Picture

LABELS = ("$plain^{", "日本語", HOSTILE)
TEXT = "</blockquote><img src=x onerror=alert(1)> a text"


def make_report(labels: tuple[str, ...] = LABELS, documents: int = 30, mistakes: int = 3, epochs: int = 4) -> Report:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(labels), documents)
    scores = rng.normal(size=(documents, len(labels)))
    test = Predictions([f"<script>{i:03d}" for i in range(documents)], truth, probabilities_of(scores))
    guesses = {"majority": np.zeros(documents, np.int64), "tfidf_svm": truth}
    evaluation = evaluate(test, guesses, truth, labels, Resampling(100, 0.95, 0), bins=10)
    history = {name: rng.random(epochs) for name in ("train_loss", "validation_loss", "gradient_norm_mean")}
    return Report(
        evaluation=evaluation,
        titles={"majority": "Majority class", "tfidf_svm": "SVM"},
        counts={part: np.bincount(truth, minlength=len(labels)) for part in ("train", "validation", "test")},
        history=history | {"kept": np.arange(epochs) == epochs - 1},
        validated=Validated(7, 0.25, 0.125),
        clip_norm=1.0,
        reaches=[reach(epochs - 1), reach(epochs), reach(epochs, "<i>c")],
        mistakes=find_mistakes(test, dict.fromkeys(test.doc_ids, TEXT), labels, mistakes, 600),
        stages=stages({"cleaning": {"fingerprint": "<b>f", "settings": {"a": {"<u>k": "<u>v"}, "none": None}}}),
    )


def reach(epoch: int, state: str = "h", layer: int = 1, direction: str = "forward", steps: int = 40) -> Reach:
    norms = 0.5 ** np.arange(steps, dtype=np.float64)
    return Reach(epoch, layer, direction, state, np.arange(steps, dtype=np.float64), norms, norms / 2, norms * 2)


class Page(HTMLParser):
    """Tags, addresses and alternative texts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "img", "source", "br"}:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "srcset", "href", "data", "action"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html() -> str:
    return render(make_report())


def svg_texts(uri: str) -> str:
    root = ElementTree.fromstring(base64.b64decode(uri.partition("base64,")[2]))
    return "|".join(text.strip() for text in root.itertext() if text.strip())


def test_names_and_texts_of_the_corpus_are_escaped(html: str) -> None:
    page = Page(html)
    assert not page.open
    assert "script" not in page.tags
    assert not page.handlers
    assert not {"b>f", "u"} & set(page.tags)
    assert "&lt;script&gt;alert(&#39;label&#39;)&lt;/script&gt;" in html
    assert "&lt;/blockquote&gt;&lt;img src=x onerror=alert(1)&gt; a text" in html
    assert html.count("<blockquote>") == 3


def test_report_opens_offline(html: str) -> None:
    page = Page(html)
    assert page.addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_pictures_say_what_they_show(html: str) -> None:
    images = Page(html).images
    assert len(images) == 9
    assert all(image["alt"] and image["width"] and image["height"] for image in images)
    assert html.count("prefers-color-scheme: dark") == len(images) + 1


def test_pictures_hold_no_address_but_the_names_of_xml(html: str) -> None:
    for address in Page(html).addresses:
        svg = base64.b64decode(address.partition("base64,")[2]).decode()
        fetched = re.findall(r'href="([^"#][^"]*)"', svg) + re.findall(r"url\((?!#)", svg)
        assert fetched == []


def test_report_and_pictures_are_the_same_each_time(html: str) -> None:
    assert render(make_report()) == html


ELSEWHERE = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import matplotlib
before = dict(matplotlib.rcParams.copy())
import test_report
Path(sys.argv[1]).write_text(test_report.render(test_report.make_report()), encoding="utf-8")
if dict(matplotlib.rcParams.copy()) != before or "matplotlib.pyplot" in sys.modules:
    sys.exit("matplotlib is not as it was")
"""


@pytest.mark.slow
def test_report_of_another_process_is_the_same_and_leaves_matplotlib_alone(html: str, tmp_path: Path) -> None:
    tests, there = Path(__file__).parent, tmp_path / "report.html"
    command = [sys.executable, "-c", ELSEWHERE, str(there), str(tests), str(tests.parent)]
    subprocess.run(command, check=True, timeout=120)
    assert there.read_text(encoding="utf-8") == html


def test_headline_numbers_stand_in_the_page(html: str) -> None:
    scores = make_report().evaluation.scores
    for found in (scores.accuracy, scores.macro_f1):
        assert f"<b>{found.value:.3f}</b>" in html
        assert f"{found.low:.3f} to {found.high:.3f}" in html


def test_labels_are_drawn_as_they_are_written() -> None:
    estimates = [Estimate(0.5, 0.2, 0.8)] * 3
    found = svg_texts(figures.label_scores(LABELS, estimates, np.array([1, 2, 3])).light)
    assert "$plain^{ (1)" in found
    assert "日本語 (2)" in found
    assert "<script>alert" in found


def test_confusion_picture_counts_what_it_is_given() -> None:
    found = figures.confusion(("a", "b"), np.array([[17, 0], [5, 23]]))
    texts = svg_texts(found.light).split("|")
    assert {"17", "5", "23"} <= set(texts)
    assert "0" not in texts
    assert "40 on the diagonal" in found.alt


def picture_of_everything(labels: Sequence[str]) -> list[Picture]:
    count = len(labels)
    estimates = [Estimate(0.5, 0.5, 0.5)] * count
    table = reliability(np.array([1.0]), np.array([1.0]), 10)
    return [
        figures.forest(labels, estimates, estimates),
        figures.confusion(labels, np.zeros((count, count), np.int64)),
        figures.label_scores(labels, estimates, np.zeros(count, np.int64)),
        figures.calibration(table),
        figures.balance(labels, [figures.Series(part, np.zeros(count)) for part in ("train", "validation", "test")]),
        figures.curves("Loss", [figures.Series("training", np.array([np.nan]))], None),
    ]


@pytest.mark.parametrize("labels", [["one", "two"], [f"label number {i} of many, with a long name" for i in range(60)]])
def test_few_and_many_labels_can_be_drawn(labels: list[str]) -> None:
    for picture in picture_of_everything(labels):
        assert picture.light != picture.dark
        assert ElementTree.fromstring(base64.b64decode(picture.light.partition("base64,")[2])).tag.endswith("svg")


def test_report_without_mistakes_history_or_lineage() -> None:
    full = make_report(mistakes=0)
    html = render(
        Report(
            evaluation=full.evaluation,
            titles=full.titles,
            counts=full.counts,
            history={},
            validated=None,
            clip_norm=None,
            reaches=None,
            mistakes=[],
            stages=[],
        )
    )
    assert "None to show." in html
    assert "Training</h2>" not in html
    assert "not recorded in this model’s folder" in html
    assert "came without a record" in html


def test_gradient_pictures_name_axes_and_the_clipping_level() -> None:
    history = {name: np.array([3.0, 0.5]) for name in ("gradient_norm_mean", "gradient_norm_max")}
    kept = {"kept": np.array([1.0, 0.0])}
    both = [reach(1, state, layer) for layer in (1, 2) for state in ("h", "c")]
    norms, *layers = gradient_pictures(history | kept, 0.25, [*both, reach(2)])
    drawn = svg_texts(norms.light)
    assert all(word in drawn for word in ("epoch", "norm of all weights’ gradient", "clipped above"))
    assert "mathdefault" not in drawn
    assert "Clipped above 0.25." in norms.alt
    assert [picture.alt[:8] for picture in layers] == ["Layer 1:", "Layer 1:", "Layer 2:"]
    drawn = svg_texts(layers[0].light)
    assert all(word in drawn for word in ("distance to the loss, steps", "‖∂L/∂state‖", "forward, h", "forward, c"))
    assert "forward, h: 1 at distance 0, 1.82e-12 at 39" in layers[0].alt
    assert "epoch 2: 0.5 at 1, 1.5e-05 at 16, nan at 64" in layers[1].alt


def test_gradients_that_vanished_altogether_and_windows_of_one_token_can_be_drawn() -> None:
    gone = Reach(1, 1, "backward", "h", *(np.zeros(3),) * 4)
    assert len(gradient_pictures({}, None, [gone, reach(1, steps=1)])) == 1
    assert gradient_pictures({}, None, []) == []


def test_mistakes_are_the_wrong_ones_most_confident_first() -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.3, 0.7]])
    predictions = Predictions(["a", "b", "c", "d", "e"], np.array([0, 0, 0, 1, 0]), shares)
    found = find_mistakes(predictions, dict.fromkeys("abcde", "text"), ("no", "yes"), 2, 100)
    assert [(m.doc_id, m.label, m.predicted, m.probability, m.label_probability) for m in found] == [
        ("b", "no", "yes", 0.8, 0.2),
        ("c", "no", "yes", 0.7, 0.3),
    ]


def test_excerpts_end_between_words() -> None:
    assert excerpt("short", 10) == "short"
    assert excerpt("some words that go on", 12) == "some words …"
    assert excerpt("x" * 50, 10) == "x" * 10 + " …"
    assert excerpt("anything", 0) == ""


def test_settings_are_shown_as_they_are_written_in_yaml() -> None:
    found = stages({"cleaning": {"fingerprint": "f", "settings": {"a": {"b": True}, "c": None, "d": "x", "e": [1]}}})
    assert dict(found[0].settings) == {"a.b": "true", "c": "null", "d": "x", "e": "[1]"}
    assert stages({"odd": "record"}) == []


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        (Estimate(0.1, 0.02, 0.2), "more often than the best baseline"),
        (Estimate(-0.1, -0.2, -0.02), "best baseline (SVM) is right more often"),
        (Estimate(0.01, -0.1, 0.1), "1.0 points ahead of the best baseline"),
        (Estimate(0.0, -0.1, 0.1), "equals the best baseline"),
    ],
)
def test_verdict_says_what_the_interval_allows(lead: Estimate, said: str) -> None:
    scores = Scores(10, Estimate(0.5, 0.2, 0.8), Estimate(0.5, 0.2, 0.8))
    assert said in verdict({"svm": Comparison(scores, lead, lead, 1, 1, 1.0)}, {"svm": "SVM"})


def test_a_figure_of_one_epoch_alone_is_marked_and_told() -> None:
    one, line = (
        figures.Series(name, np.array(values))
        for name, values in (("kept", [np.nan, 0.25, np.nan, np.nan]), ("every", [1.0, 2.0, 3.0, 4.0]))
    )
    picture = figures.curves("Accuracy", [one], 2)
    assert "kept 0.25" in picture.alt
    assert len(picture.light) > len(figures.curves("Accuracy", [figures.Series("kept", np.full(4, np.nan))], 2).light)
    assert "every 4" in figures.curves("Loss", [line], None).alt
