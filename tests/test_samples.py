"""Members that learn from a sample of the labelled texts, because memory is bounded by a setting."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from evaluation_inputs import make_inputs

from tasks.evaluation.settings import EvaluationSettings
from tasks.evaluation.task import evaluate
from tasks.linear import contract
from tasks.linear.settings import LinearLimits, LinearSettings
from tasks.linear.task import fit_linear
from tasks.shared.checks.runner import run_contract
from tasks.shared.errors import ArtifactError
from tasks.shared.out_of_fold import OutOfFold
from tasks.splitting.labelled import ALWAYS, choose_texts
from tasks.stacking.out_of_fold import in_common
from tasks.stacking.settings import StackingSettings
from tasks.stacking.task import stack

OTHER_ORDER = [23, *range(23)]


def test_a_sample_has_every_label_and_grows_with_its_bound() -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.zeros(4000, np.int64), np.ones(900, np.int64), np.full(30, 2)])
    rng.shuffle(labels)
    doc_ids, sizes = [f"{number:05d}" for number in range(len(labels))], rng.integers(100, 900, len(labels))
    assert choose_texts(doc_ids, labels, sizes, int(sizes.sum())).tolist() == list(range(len(labels)))
    before: set[int] = set()
    for most in (1, 50_000, 400_000, 1_000_000, 2_000_000):
        chosen = choose_texts(doc_ids, labels, sizes, most)
        assert (np.diff(chosen) > 0).all()
        assert sizes[chosen].sum() <= max(most, 900)
        assert sizes[chosen].sum() > most - 900
        assert before <= set(chosen.tolist())
        before = set(chosen.tolist())
    counts = np.bincount(labels[chosen])
    assert counts[2] == 30
    assert (counts[0] - ALWAYS) / 4000 == pytest.approx((counts[1] - ALWAYS) / 900, abs=0.01)
    more = choose_texts([*doc_ids, "x"], np.append(labels, 0), np.append(sizes, 500), 1_000_000)
    assert len(set(more.tolist()) ^ set(choose_texts(doc_ids, labels, sizes, 1_000_000).tolist())) < 10


def test_a_member_that_learns_from_a_sample_says_so_and_joins_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inputs = make_inputs(tmp_path)
    linear, model, report = (tmp_path / name for name in ("sampled", "sampled-model", "report"))
    for folder in (linear, model, report):
        folder.mkdir()
    settings = LinearSettings(characters_max_megabytes=0.002)
    texts = {"cleaned": inputs.cleaned, "splits": inputs.splits}
    with caplog.at_level(logging.INFO, "corpusflow"):
        said = fit_linear.function(settings, linear, **texts, scratch=tmp_path / "sampled-scratch")
    (line,) = [line for line in caplog.messages if "sample" in line]
    expected = rf"linear: characters learns from a sample, {said['characters_texts']} of 24 labelled texts: they have "
    assert re.fullmatch(rf"{expected}0\.00\d+ megabytes, and linear\.characters_max_megabytes is 0\.002", line)
    assert 8 <= said["characters_texts"] < 16
    assert "words_texts" not in said
    sizes = {name: len(pd.read_parquet(linear / f"{name}.out-of-fold.parquet")) for name in settings.members}
    assert sizes == {"words": 24, "characters": said["characters_texts"], "counts": 24}
    assert all(result.success for result in run_contract(contract, linear, texts, settings, LinearLimits()))
    together = stack.function(StackingSettings(), model, linear=linear, training=inputs.training)
    assert together["rows"] == said["rows"] == 24  # by which a later run knows whether there are more texts now
    assert json.loads((model / "model.json").read_text())["out_of_fold"]["documents"] == said["characters_texts"]
    folders = inputs.for_the_stage(tmp_path / "calls") | {"linear": linear, "model": model}
    evaluate.function(EvaluationSettings(bootstrap_samples=100, device="cpu"), report, **folders)
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["doubtful_labels"]["labelled"] == said["characters_texts"]
    assert metrics["baselines"]["tfidf_svm"]["accuracy"] > 0.8


def test_members_without_texts_in_common_are_refused() -> None:
    def made(*doc_ids: str) -> OutOfFold:
        return OutOfFold(list(doc_ids), np.zeros(len(doc_ids), np.int64), np.zeros((len(doc_ids), 2), np.float32))

    common = in_common({"words": made("a", "b", "c"), "counts": made("a", "c")})
    assert [list(some.doc_ids) for some in common.values()] == [["a", "c"]] * 2
    with pytest.raises(ArtifactError, match="different texts"):
        in_common({"words": made("a", "b", "c"), "counts": made("a", "d")})


@pytest.mark.parametrize(
    ("damage", "columns"),
    [
        (lambda table: table.slice(1), {"predicted_or_left_out", "other_texts"}),
        (lambda table: table.take([0, *range(table.num_rows)]), {"predicted_or_left_out", "other_texts", "duplicates"}),
        (lambda table: table.set_column(1, table.schema.field(1), table["label"].take(OTHER_ORDER)), {"other_texts"}),
    ],
)
def test_a_labelled_text_that_is_lost_repeated_or_relabelled_fails_the_check(tmp_path: Path, damage, columns) -> None:
    inputs = make_inputs(tmp_path)
    linear = tmp_path / "linear-of-its-own"
    linear.mkdir()
    settings = LinearSettings(members=("words",), C=(1.0,))
    texts = {"cleaned": inputs.cleaned, "splits": inputs.splits}
    fit_linear.function(settings, linear, **texts, scratch=tmp_path / "fits")
    file = linear / "words.out-of-fold.parquet"
    pq.write_table(damage(pq.read_table(file)), file)
    results = run_contract(contract, linear, texts, settings, LinearLimits(min_gain_over_majority=-1))
    failed = {
        result.arguments.get("column_A", result.arguments.get("column")) for result in results if not result.success
    }
    assert failed == columns
