"""The report: escaped, self-contained, readable by eye and by machine."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from evaluation_inputs import HOSTILE
from scipy.special import softmax

from tasks.evaluation import figures
from tasks.evaluation.calibration import reliability
from tasks.evaluation.findings.doubtful import Doubtful
from tasks.evaluation.findings.findings import Findings
from tasks.evaluation.findings.mistakes import excerpt, find_mistakes
from tasks.evaluation.findings.words import StrongWord
from tasks.evaluation.gradient_figures import gradient_pictures
from tasks.evaluation.report import MOST_LABELS_DRAWN, Report, render, stages, verdict, words_by_label
from tasks.evaluation.results import (
    Comparison,
    Estimate,
    GradientProfile,
    MemberScores,
    Predictions,
    Resampling,
    Scores,
    ValidationScores,
    WithoutMember,
    worst_confusions,
)
from tasks.evaluation.scores import evaluate
from tasks.evaluation.show import _confusion
from tasks.evaluation.summary import confusion_values, read_confusion
from tasks.shared.member import Occurrence
from tasks.shared.plots.curves import Series, curves
from tasks.shared.plots.drawing import Picture
from tasks.stacking.explanation import Explanation, Term

LABELS = ("$plain^{", "日本語", HOSTILE)
MEMBERS = {
    "words": MemberScores(0.6, 0.5, 1.2, 0.8, WithoutMember(0.55, 1.4, 0.2, 0.05, 0.03)),
    "characters": MemberScores(0.5, 0.4, 1.3, 0.0, None),
    "rnn": MemberScores(0.58, 0.52, 1.1, 0.4, WithoutMember(0.6, 1.15, 0.01, 0.02, 0.8)),
}
TEXT = "</blockquote><img src=x onerror=alert(1)> a text"
NO_FINDINGS = Findings([], 0, {}, [], [])


def explain(text: str, label: int, other: int) -> Explanation:
    """`<img` speaks for the predicted label, `text` for the true one."""
    start = text.find("<img")
    occurrences = [Occurrence(start, start + 4, "<img", 2.0), Occurrence(len(text) - 4, len(text), "text", -1.0)]
    terms = [Term("<img", 2.0, 0.5, {"words": 2.0}), Term("te\n<b>", -1.0, 0.25, {"words": -1.0})]
    return Explanation(text, str(label), str(other), 1.0, terms, {}, occurrences)


def make_report(labels: tuple[str, ...] = LABELS, documents: int = 30, mistakes: int = 3, epochs: int = 4) -> Report:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(labels), documents)
    scores = rng.normal(size=(documents, len(labels)))
    test = Predictions([f"<script>{i:03d}" for i in range(documents)], truth, softmax(scores, axis=-1))
    baselines = {"majority": np.zeros(documents, np.int64), "tfidf_svm": truth}
    evaluation = evaluate(test, baselines, truth, labels, Resampling(100, 0.95, 0), bins=10)
    history = {name: rng.random(epochs) for name in ("train_loss", "validation_loss", "gradient_norm_mean")}
    return Report(
        evaluation=evaluation,
        titles={"majority": "Majority class", "tfidf_svm": "SVM"},
        counts={split: np.bincount(truth, minlength=len(labels)) for split in ("train", "validation", "test")},
        members=MEMBERS,
        history=history,
        validation=ValidationScores(7, 0.25, 0.125),
        max_grad_norm=1.0,
        profiles=[profile(epochs - 1), profile(epochs), profile(epochs, "<i>c")],
        findings=findings(test, labels, mistakes),
        doubtful_labels=2,
        stages=stages({"cleaning": {"fingerprint": "<b>f", "settings": {"a": {"<u>k": "<u>v"}, "none": None}}}),
    )


def findings(test: Predictions, labels: tuple[str, ...], mistakes: int) -> Findings:
    texts = [TEXT] * len(test.doc_ids)
    found = find_mistakes(test.doc_ids, texts, test.labels, test.probabilities, labels, explain, mistakes, 600)
    doubtful = [Doubtful(f"<u>{number}", labels[0], labels[-1], 0.125, 0.75) for number in range(3)]
    words = [StrongWord(label, f"<i>{word}", 0.5) for label in labels for word in ("one", "two")]
    return Findings(doubtful, 1234, {each.doc_id: f"<s>{TEXT}" for each in doubtful}, found, words)


def profile(
    epoch: int, state: str = "h", layer: int = 1, direction: str = "forward", steps: int = 40
) -> GradientProfile:
    norms = 0.5 ** np.arange(steps, dtype=np.float64)
    return GradientProfile(
        epoch, layer, direction, state, np.arange(steps, dtype=np.float64), norms, norms / 2, norms * 2
    )


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
    assert not {"b>f", "u", "i", "s", "img>"} & set(page.tags)
    assert "&lt;script&gt;alert(&#39;label&#39;)&lt;/script&gt;" in html
    assert '&lt;/blockquote&gt;&lt;<mark class="for s3">img</mark> src=x onerror=alert(1)&gt; a ' in html
    assert html.count("<blockquote>") == 3


def test_mistakes_mark_the_words_for_and_against(html: str) -> None:
    assert '<mark class="against s2">text</mark></blockquote>' in html
    assert "&lt;img +2.00, te⏎&lt;b&gt; −1.00" in html


def test_doubtful_labels_and_strong_words_are_listed(html: str) -> None:
    assert "3 of the 1,234 labelled documents may have the wrong label" in html
    assert "The first 2; doubtful_labels.parquet has all." in html
    assert html.count("&lt;s&gt;") == 2
    assert "<td>0.125</td>" in html
    assert "&lt;i&gt;one · &lt;i&gt;two" in html


def test_thousands_of_labels_list_the_words_of_the_first_hundred() -> None:
    words = [StrongWord(f"label{number // 3:04d}", f"w{number}", 1.0) for number in range(6_000)]
    listed = words_by_label(words)
    assert len(listed) == MOST_LABELS_DRAWN
    assert listed["label0099"] == ["w297", "w298", "w299"]


def test_notices_are_shown_and_escaped() -> None:
    assert "a text under &lt;b&gt; and c" in render(replace(make_report(), notices=["a text under <b> and c"]))


def test_report_opens_offline(html: str) -> None:
    page = Page(html)
    assert page.addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.addresses)
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_pictures_have_descriptions(html: str) -> None:
    images = Page(html).images
    assert len(images) == 9
    assert all(image["alt"] and image["width"] and image["height"] for image in images)
    assert html.count("prefers-color-scheme: dark") == len(images) + 1


def test_pictures_fetch_nothing(html: str) -> None:
    for address in Page(html).addresses:
        svg = base64.b64decode(address.partition("base64,")[2]).decode()
        fetched = re.findall(r'href="([^"#][^"]*)"', svg) + re.findall(r"url\((?!#)", svg)
        assert fetched == []


def test_report_and_pictures_are_the_same_each_time(html: str) -> None:
    assert render(make_report()) == html


OTHER_PROCESS = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import matplotlib
before = dict(matplotlib.rcParams.copy())
import test_report
Path(sys.argv[1]).write_text(test_report.render(test_report.make_report()), encoding="utf-8")
if dict(matplotlib.rcParams.copy()) != before or "matplotlib.pyplot" in sys.modules:
    sys.exit("matplotlib's settings changed")
"""


@pytest.mark.slow
def test_report_of_another_process_is_the_same_and_leaves_matplotlib_unchanged(html: str, tmp_path: Path) -> None:
    tests, page = Path(__file__).parent, tmp_path / "report.html"
    command = [sys.executable, "-c", OTHER_PROCESS, str(page), str(tests), str(tests.parent)]
    subprocess.run(command, check=True, timeout=120)
    assert page.read_text(encoding="utf-8") == html


def test_headline_numbers_are_in_the_page(html: str) -> None:
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


def test_confusion_picture_shows_the_counts() -> None:
    found = figures.confusion(("a", "b"), np.array([[17, 0], [5, 23]]))
    texts = svg_texts(found.light).split("|")
    assert {"17", "5", "23"} <= set(texts)
    assert "0" not in texts
    assert "40 on the diagonal" in found.alt


def all_pictures(labels: Sequence[str]) -> list[Picture]:
    count = len(labels)
    estimates = [Estimate(0.5, 0.5, 0.5)] * count
    table = reliability(np.array([1.0]), np.array([1.0]), 10)
    return [
        figures.forest(labels, estimates, estimates),
        figures.confusion(labels, np.zeros((count, count), np.int64)),
        figures.label_scores(labels, estimates, np.zeros(count, np.int64)),
        figures.calibration(table),
        figures.balance(labels, [Series(split, np.zeros(count)) for split in ("train", "validation", "test")]),
        curves("Loss", [Series("training", np.array([np.nan]))]),
    ]


@pytest.mark.parametrize("labels", [["one", "two"], [f"label number {i} of many, with a long name" for i in range(60)]])
def test_few_and_many_labels_can_be_drawn(labels: list[str]) -> None:
    for picture in all_pictures(labels):
        assert picture.light != picture.dark
        assert ElementTree.fromstring(base64.b64decode(picture.light.partition("base64,")[2])).tag.endswith("svg")


def test_thousands_of_labels_have_a_table_of_confusions_instead_of_a_picture() -> None:
    names = [f"label{number:04d}" for number in range(2_000)]
    matrix = np.diag(np.full(2_000, 3))
    matrix[7, 9], matrix[3, 4], matrix[5, 2] = 6, 9, 6
    assert worst_confusions(names, matrix, 2) == [
        ("label0003", "label0004", 9, 0.75),
        ("label0005", "label0002", 6, pytest.approx(2 / 3)),
    ]
    estimates = [Estimate(number / 2_000, 0, 1) for number in range(2_000)]
    scores = figures.label_scores(names, estimates, np.arange(2_000))
    assert "label0099 (99)" in svg_texts(scores.light)
    assert "label0100" not in svg_texts(scores.light)
    shares = figures.balance(names, [Series(split, np.arange(2_000) / 2_000) for split in ("a", "b", "c")])
    assert "label1999" in svg_texts(shares.light)
    assert "label1899" not in svg_texts(shares.light)
    values = confusion_values(names, matrix)
    assert len(json.dumps(values)) < 100_000
    assert (read_confusion(values) == matrix).all()
    assert confusion_values(["a", "b"], np.eye(2, dtype=int)) == {"labels": ["a", "b"], "matrix": [[1, 0], [0, 1]]}
    page = _confusion(values)
    assert "data:image" not in page
    assert "| label0003 | label0004 | 9 | 75% |" in page.replace("\\", "")


def test_report_without_mistakes_history_or_lineage() -> None:
    full = make_report(mistakes=0)
    html = render(
        Report(
            evaluation=full.evaluation,
            titles=full.titles,
            members={},
            counts=full.counts,
            history={},
            validation=None,
            max_grad_norm=None,
            profiles=None,
            findings=NO_FINDINGS,
            doubtful_labels=20,
            stages=[],
        )
    )
    assert "None." in html
    assert "Training of the RNN</h2>" not in html
    assert "no record of gradients by lag" in html
    assert "no record of the stages" in html


def test_a_single_member_has_no_columns_about_the_others() -> None:
    assert all(words in render(make_report()) for words in ("Stack without it", "Holm"))
    alone = render(replace(make_report(), members={"rnn": MemberScores(0.6, 0.5, 1.2, 1.0, None)}))
    assert not any(
        words in alone
        for words in ("Stack without it", "rises by", "Holm", "<td></td><td></td><td></td></tr>\n</tbody>")
    )


def test_the_report_names_its_model() -> None:
    lineage = {"stacking": {"fingerprint": "0123456789abcdef", "settings": {}}}
    assert "Model <code>0123456789</code>" in render(replace(make_report(), stages=stages(lineage)))


def test_gradient_pictures_name_axes_and_the_clipping_level() -> None:
    history = {name: np.array([3.0, 0.5]) for name in ("gradient_norm_mean", "gradient_norm_max")}
    both = [profile(1, state, layer) for layer in (1, 2) for state in ("h", "c")]
    norms, *layers = gradient_pictures(history, 0.25, [*(replace(one, epoch=2) for one in both), profile(1)])
    drawn = svg_texts(norms.light)
    assert all(word in drawn for word in ("epoch", "norm of all weights’ gradient", "clipped above"))
    assert "mathdefault" not in drawn
    assert "Clipped above 0.25." in norms.alt
    assert [picture.alt[:8] for picture in layers] == ["Layer 1:", "Layer 1:", "Layer 2:"]
    drawn = svg_texts(layers[0].light)
    assert all(word in drawn for word in ("lag: steps to the loss", "‖∂L/∂state‖", "forward, h", "forward, c"))
    assert "forward, h: 1 at lag 0, 1.82e-12 at lag 39" in layers[0].alt
    assert "epoch 1: 0.5 at lag 1, 1.5e-05 at lag 16, nan at lag 64" in layers[1].alt


def test_vanished_gradients_and_windows_of_one_token_can_be_drawn() -> None:
    gone = GradientProfile(1, 1, "backward", "h", *(np.zeros(3),) * 4)
    assert len(gradient_pictures({}, None, [gone, profile(1, steps=1)])) == 1
    assert gradient_pictures({}, None, []) == []


def test_mistakes_are_the_wrong_ones_most_confident_first() -> None:
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6], [0.3, 0.7]])
    labels = np.array([0, 0, 0, 1, 0])
    found = find_mistakes("abcde", ["text"] * 5, labels, shares, ("no", "yes"), explain, 2, 100)
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
    ("lead", "sentence"),
    [
        (Estimate(0.1, 0.02, 0.2), "more accurate than the best baseline"),
        (Estimate(-0.1, -0.2, -0.02), "best baseline (SVM) is more accurate"),
        (Estimate(0.01, -0.1, 0.1), "1.0 points ahead of the best baseline"),
        (Estimate(0.0, -0.1, 0.1), "and the best baseline (SVM) are equally accurate on these documents."),
    ],
)
def test_verdict_follows_from_the_interval(lead: Estimate, sentence: str) -> None:
    scores = Scores(10, Estimate(0.5, 0.2, 0.8), Estimate(0.5, 0.2, 0.8))
    assert sentence in verdict({"svm": Comparison(scores, lead, lead, 1, 1, 1.0)}, {"svm": "SVM"})


def test_a_single_value_is_marked_and_described() -> None:
    one, line = (
        Series(name, np.array(values))
        for name, values in (("kept", [np.nan, 0.25, np.nan, np.nan]), ("every", [1.0, 2.0, 3.0, 4.0]))
    )
    picture = curves("Accuracy", [one])
    assert "kept 0.25" in picture.alt
    assert len(picture.light) > len(curves("Accuracy", [Series("kept", np.full(4, np.nan))]).light)
    assert "every 4" in curves("Loss", [line]).alt
