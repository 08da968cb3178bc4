"""The parts of the site that need no run: plots, graphs, words."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from flows.pipeline.stages import STAGES
from tasks.cleaning import schema as cleaning
from tasks.evaluation.schema import DOUBTFUL_SCHEMA, MISTAKES_SCHEMA, WORDS_SCHEMA
from tasks.evaluation.summary import confusion_values
from tasks.extraction import schema as extraction
from tasks.promotion.schema import COMPARISON_SCHEMA, certainty
from tasks.shared.checks.report import Expected
from tasks.shared.checks.words import in_words, merged, sentence
from tasks.shared.out_of_fold import OUT_OF_FOLD
from tasks.shared.store.artifacts import Store
from tasks.shared.store.fingerprint import PROJECT
from tasks.shared.store.records import RunRecord, StageRecord
from tasks.shared.ui.pages import about_run
from tasks.site.drawing.charts import histogram, nice_ticks, round_values, same_decimals
from tasks.site.drawing.graph import HEIGHT, WIDTH, draw
from tasks.site.drawing.render import breaks, decimals, listed, signed
from tasks.site.pages.run import graph_of
from tasks.site.reading import glossary
from tasks.site.reading.changes import causes
from tasks.site.reading.confusions import confused_labels
from tasks.site.reading.dropped import compare
from tasks.site.reading.shelf import Frame, Shelf
from tasks.splitting.schema import SPLITS_SCHEMA
from tasks.tokenization.schema import tokens_schema
from tasks.training.schema import GRADIENTS, HISTORY
from tasks.vocabulary.schema import TOKENS
from tasks.vocabulary.tokenizer_file import token_text


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


def test_labels_of_an_axis_have_the_same_decimals():
    assert same_decimals([0.84, 0.86, 0.9]) == ["0.84", "0.86", "0.90"]
    assert same_decimals([0.0, 1000.0, 2000.0]) == ["0", "1,000", "2,000"]


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


def test_figures_are_short():
    assert [decimals(value) for value in (0.9048, 3.0, 7, 0.00002, 1234.5, None)] == [
        *("0.905", "3", "7", "2e-05", "1,234.500", "")
    ]
    assert listed([-0.123456, 2.0, *range(9)]) == "-0.123, 2, 0, 1, 2, 3 and 5 more"
    assert [signed(value) for value in (-0.03125, 0.0625)] == ["−0.031", "+0.062"]


def built(stage: str, *reasons: str) -> StageRecord:
    figures = {"rows": 1, "seconds": 1.0, "bytes": 1}
    return StageRecord(stage=stage, status="built", path="data/a/f", fingerprint="f", reasons=list(reasons), **figures)


def test_a_run_has_the_causes_that_came_from_outside():
    record = RunRecord(id="a", flow="retrain", started="", settings={})
    record.stages = [
        built("extraction", "sources table: aa → bb"),
        built("vocabulary", "settings size: 1500 → 1000", "inputs cleaned: cc → dd"),
        built("tokenization", "inputs vocabulary: ee → ff", "libraries pyarrow: 21 → 22"),
        built("training", "libraries pyarrow: 21 → 22"),
        built("promotion", "inputs champion: gg → hh", "inputs champion_splits: ii → jj"),
    ]
    assert [(cause.stage, cause.why.kind, cause.why.what) for cause in causes(record)] == [
        ("extraction", "corpus", "table"),
        ("vocabulary", "setting", "size"),
        ("tokenization", "library", "pyarrow"),
        ("promotion", "", "the champion has changed"),
    ]


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
    share = expected("expect_column_values_to_be_between", 0.6, False, column="unused_share", max_value=0.5)
    named = share.model_copy(update={"batch": "vocabulary"})
    assert sentence(named, "vocabulary") == "unused_share: expected at most 0.5, found 0.6 (r)"
    assert sentence(named, "splitting") == "vocabulary: unused_share: expected at most 0.5, found 0.6 (r)"


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
