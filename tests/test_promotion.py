"""The champion: when a candidate replaces it, how the pointer moves, and what happens if it is damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Pipeline, write_corpus

from tasks.extraction.document import Document, document_rows
from tasks.promotion.decide import Rule, decide, decide_first, mention_new_labels
from tasks.promotion.settings import PromotionSettings
from tasks.promotion.unseen import find_new
from tasks.shared.errors import ArtifactError, InputError
from tasks.shared.files import file_digest
from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.store.champion import Champion, Promotion, read_champion, replace_champion_if, roll_back, set_champion
from tasks.shared.store.fingerprint import Recipe
from tasks.splitting.schema import SPLITS_SCHEMA

LABELS = ["a", "b"] * 100


def rule(**changes: Any) -> Rule:
    values = {"metric": "accuracy", "min_gain": 0.0, "test": "bootstrap", "confidence": 0.95, "min_documents": 10}
    return Rule(**{**values, "bootstrap_samples": 1000, "seed": 0, **changes})


def predictions(right: int, offset: int = 0) -> list[str]:
    """Correct for `right` documents from number `offset` on, wrong for the others."""
    chosen = {(offset + i) % len(LABELS) for i in range(right)}
    return [label if i in chosen else "ab"[label == "a"] for i, label in enumerate(LABELS)]


def test_a_first_model_must_beat_the_majority_class():
    good = decide_first(rule(), LABELS, predictions(101), "a")
    assert good.promote
    assert (good.candidate, good.rival) == (0.505, 0.5)
    even = decide_first(rule(), LABELS, predictions(100), "a")
    assert not even.promote
    assert "does not beat the majority class: 0.500 against 0.500 on 200 documents" in even.reason


def test_a_candidate_that_is_clearly_better_is_promoted():
    decision = decide(rule(), LABELS, predictions(180), predictions(140))
    assert decision.promote
    assert decision.reason.startswith("better than the champion: accuracy 0.900 against the champion's 0.700 on 200")
    low, high = decision.gain_interval
    assert 0 < low < 0.2 < high
    assert decision.confidence > 0.99


@pytest.mark.parametrize(
    ("changes", "candidate", "champion", "why"),
    [
        ({}, 140, 140, "not ahead: accuracy"),
        ({}, 130, 140, "not ahead: accuracy"),
        ({"min_gain": 0.1}, 155, 140, "not ahead by more than 0.1"),
        ({}, 142, 140, "too little confidence (promotion.confidence is 0.95)"),
        ({"min_documents": 201}, 200, 0, "only 200 documents of the test split are new to both models, fewer than"),
    ],
)
def test_otherwise_the_champion_stays_with_a_reason(changes: dict[str, Any], candidate: int, champion: int, why: str):
    decision = decide(rule(**changes), LABELS, predictions(candidate), predictions(champion, offset=100))
    assert not decision.promote
    assert why in decision.reason


def test_without_documents_that_are_new_to_both_nothing_is_compared():
    decision = decide(rule(), [], [], [])
    assert not decision.promote
    assert decision.candidate is None
    assert "no document of the test split is new to both models" in decision.reason


def test_the_tests_agree_on_what_is_clear_and_none_takes_any_lead():
    for test in ("bootstrap", "mcnemar", "none"):
        assert decide(rule(test=test), LABELS, predictions(180), predictions(140)).promote
        assert not decide(rule(test=test), LABELS, predictions(140), predictions(180)).promote
    assert not decide(rule(test="mcnemar"), LABELS, predictions(141), predictions(140)).promote
    assert decide(rule(test="none"), LABELS, predictions(141), predictions(140)).promote


def test_the_paired_bootstrap_is_surer_than_scores_alone_would_allow():
    paired = decide(
        rule(), LABELS, predictions(110), predictions(100)
    )  # right wherever the champion is, and on ten more
    apart = decide(rule(), LABELS, predictions(110), predictions(100, offset=100))
    assert paired.confidence > 0.99 > apart.confidence


def test_models_may_know_different_labels():
    truth = ["a"] * 10 + ["new"] * 10
    decision = decide(rule(metric="macro_f1"), truth, truth, ["a"] * 20)
    assert decision.promote
    assert decision.candidate == 1
    assert decision.rival == pytest.approx((2 / 3) / 2)


def test_a_label_that_the_champion_cannot_predict_is_named_and_counts_as_its_mistake():
    truth = ["a"] * 5 + ["b"] * 5 + ["new"] * 10
    champion, plain = ["a"] * 15 + ["b"] * 5, rule()
    without = decide(plain, truth, truth, champion)
    decision = mention_new_labels(plain, without, ["newer", "new"], truth, truth, champion)
    assert (decision.promote, decision.rival) == (without.promote, 0.25)
    assert decision.new_labels == {"newer": 0, "new": 10}
    assert decision.reason == (
        f"{without.reason}; the champion cannot predict 'newer', 'new', new since it was trained: 10 documents, each "
        "counted as its mistake; on the other 10 accuracy 1.000 against 0.500"
    )
    nothing = decide(plain, [], [], [])
    assert mention_new_labels(plain, nothing, ["new"], [], [], []).reason.endswith("'new', new since it was trained")
    assert mention_new_labels(plain, without, [], truth, truth, champion) == without


def test_mcnemar_needs_accuracy():
    with pytest.raises(ValueError, match="it needs metric: accuracy"):
        PromotionSettings(test="mcnemar", metric="macro_f1")


def test_only_documents_that_are_new_to_both_count_near_duplicates_too():
    def document(doc_id: str, split: str, digest: str, group: str = "") -> Document:
        return Document(doc_id, group=group or doc_id, split=split, digest=digest)

    earlier = [
        document("1", "train", "learned"),
        document("2", "validation", "selected by"),
        document("3", "test", "tested"),
        document("4", "train", "nearly the same"),
        document("5", "train", "with a typing mistake"),
        document("6", "train", "renumbered"),
    ]
    today = [
        document("a", "test", "learned"),
        document("b", "test", "selected by"),
        document("c", "test", "tested"),
        document("d", "train", "nearly the same", "group"),
        document("e", "test", "nearly the same, again", "group"),
        document("5", "test", "without it"),
        document("6", "test", "new"),
        document("7", "train", "renumbered"),
        document("f", "train", "learned now"),
        document("g", "test", "learned now"),
    ]
    tables = [pa.Table.from_batches([document_rows(sorted(each), SPLITS_SCHEMA)]) for each in (today, earlier)]
    assert find_new(*tables) == ["6", "c"]


def model(name: str) -> Artifact:
    recipe = Recipe(stage="stacking", settings={}, inputs={}, sources={}, code={}, libraries={})
    values = {"rows": 1, "bytes": 1, "seconds": 0, "created": "", "summary": {}, "lineage": {}, "files": {}}
    return Artifact(stage="stacking", folder="07_models", fingerprint=name, digest=f"#{name}", recipe=recipe, **values)


def make_model(store: Store, name: str) -> Artifact:
    store.seal(store.place("07_models", name), model(name))
    return model(name)


def test_the_pointer_moves_back_and_forth_and_remembers(tmp_path: Path):
    store = Store(tmp_path)
    assert read_champion(store) is None
    a, b, c = (make_model(store, name) for name in "abc")
    assert replace_champion_if(store, None, a, "first", "run-1")
    assert replace_champion_if(store, "a", b, "better", "run-2")
    assert not replace_champion_if(store, "a", c, "compared with a former champion", "run-3")
    assert set_champion(store, c, "hand", "chosen").current.model == "c"
    assert [roll_back(store).current.model for _ in range(2)] == ["b", "a"]
    with pytest.raises(InputError, match="no earlier champion"):
        roll_back(store)
    champion = read_champion(store)
    assert [promotion.model for promotion in champion.history] == list("abcba")
    assert champion.withdrawn == {"#c", "#b"}
    assert champion.recent(1) == ["a", "b"]
    assert champion.history[1].run == "run-2"
    assert sorted(path.name for path in (tmp_path / "champion").iterdir()) == [f"00000{n}.json" for n in range(1, 6)]


def test_a_model_that_a_person_brings_back_is_no_longer_withdrawn():
    moves = [("a", "promotion"), ("b", "hand"), ("a", "hand"), ("c", "promotion")]
    history = [Promotion(model=m, digest=f"#{m}", since="", by=by, reason="") for m, by in moves]
    assert Champion(history=tuple(history)).withdrawn == {"#b"}


def test_an_earlier_champion_that_is_gone_cannot_come_back(tmp_path: Path):
    store = Store(tmp_path)
    set_champion(store, model("gone"), "hand", "")
    set_champion(store, make_model(store, "here"), "hand", "")
    with pytest.raises(ArtifactError, match=r"gone.*choose another with --set ID"):
        roll_back(store)
    assert read_champion(store).current.model == "here"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 0, "model": "abc"}'])
def test_an_invalid_pointer_is_named(tmp_path: Path, content: str):
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion" / "000002.json").write_text(content)
    with pytest.raises(
        ArtifactError, match=r"champion/000002\.json: not a champion's record .* move it away"
    ) as caught:
        read_champion(Store(tmp_path))
    assert "\n" not in str(caught.value)


POOR = (
    *("--set", "linear.members=[words]", "--set", "linear.words_max_terms=1"),
    *("--set", "training.input=embeddings", "--set", "training.learning_rate=1e-9"),
)
"""Settings under which no member learns anything."""


@pytest.fixture
def grown(pipeline: Pipeline) -> Pipeline:
    """Enough texts for a test split that distinguishes models."""
    write_corpus(pipeline.texts, documents=40)
    pipeline.configure(training={"epochs": 3})
    return pipeline


def champion_of(pipeline: Pipeline) -> str | None:
    shown = pipeline("champion", "--json")
    assert shown.code == 0, shown.err
    return shown.json["champion"] and shown.json["champion"]["model"]


def run(pipeline: Pipeline, *arguments: str) -> dict[str, Any]:
    result = pipeline("run", "--json", *arguments)
    assert result.code == 0, result.err
    return result.json


@pytest.mark.slow
def test_a_champion_from_promotion_to_rollback(grown: Pipeline):
    assert "does not beat the majority class" in run(grown, *POOR)["decision"]
    assert champion_of(grown) is None
    assert "no champion yet" in grown("champion").out
    again = run(grown, *POOR)
    assert {stage["stage"]: stage["status"] for stage in again["stages"]}["promotion"] == "reused"
    assert again["message"] == "nothing new: all 10 stages reused"

    poor = grown.stage_path("stacking").name
    assert grown("champion", "--set", poor[:12]).code == 0
    promoted = run(grown)
    good = grown.stage_path("stacking").name
    assert promoted["decision"].startswith(f"{good} is the new champion: better than the champion: macro-F1 ")
    assert champion_of(grown) == good

    code = (
        "import sys\nfrom flows.cli.main import cli\ncli(['run'], standalone_mode=False)\n"
        "print({'torch', 'great_expectations'} & {*sys.modules})"
    )
    nothing = subprocess.run(
        [sys.executable, "-c", code], cwd=grown.root, env=grown.environment, capture_output=True, text=True, check=True
    )
    assert "is the champion already" in nothing.stdout
    assert "nothing new: all 9 stages reused" in nothing.stdout
    assert nothing.stdout.strip().endswith("set()")

    assert grown("champion", "--rollback", "--json").json["champion"]["model"] == poor
    assert "was taken out of use by hand and stays so" in run(grown)["decision"]
    text = "apple1 river1 stone1 cloud1 tiger1 " * 12
    assert grown("predict", "-", "--json", stdin=text).json["model"].endswith(poor)
    assert f"model {poor}, the champion since" in grown("predict", "-", stdin=text).err


@pytest.mark.slow
def test_a_damaged_or_outdated_champion_is_named_and_kept_until_a_good_model_comes(grown: Pipeline):
    run(grown)
    first = champion_of(grown)
    place = grown.data / "07_models" / first
    config = (place / "model.json").read_bytes()
    (place / "model.json").write_bytes(b"{}")
    refused = grown("predict", "-", stdin="some text")
    assert refused.code == 1
    assert f"{place / 'model.json'}: content differs" in refused.err
    assert "corpusflow champion --rollback" in refused.err
    assert "damaged" in grown("champion").out
    assert champion_of(grown) == first

    (place / "model.json").write_bytes(config)
    seal_again(place, "model.json", b'{"format": 0, "layers": []}')
    record = run(grown, "--set", "training.seed=3")
    second = grown.stage_path("stacking").name
    assert second != first
    assert record["decision"].startswith(f"{second} is the new champion: the champion cannot be used")
    assert "made by another version" in record["decision"]
    assert "beats the majority class" in record["decision"]
    assert champion_of(grown) == second
    assert place.exists()

    (grown.data / "champion" / "000009.json").write_text("{")
    stopped = grown("run", "--set", "training.seed=4")
    assert stopped.code == 1
    assert "champion/000009.json: not a champion's record" in stopped.err.splitlines()[-1]


@pytest.mark.slow
def test_a_champion_for_other_labels_is_replaced(pipeline: Pipeline):
    pipeline.configure(training={"epochs": 1})
    run(pipeline)
    first = champion_of(pipeline)
    assert first is not None
    for folder in sorted(pipeline.texts.iterdir()):
        folder.rename(folder.with_name(f"other-{folder.name}"))
    record = run(pipeline)  # with fewer test texts than promotion.min_documents
    second = pipeline.stage_path("stacking").name
    assert "knows none of the labels of these texts, but label0, label1, label2" in record["decision"]
    assert "beats the majority class" in record["decision"]
    assert champion_of(pipeline) == second


def seal_again(place: Path, name: str, content: bytes) -> None:
    """What an older version might have left: a whole artifact, in another format."""
    (place / name).write_bytes(content)
    manifest = json.loads((place / "artifact.json").read_text())
    del manifest["seal"]
    manifest["files"][name] = {"sha256": file_digest(place / name), "bytes": len(content), "rows": None}
    (place / "artifact.json").write_text(json.dumps(manifest))


@pytest.mark.slow
def test_texts_that_both_models_know_are_excluded(grown: Pipeline):
    run(grown, *POOR)
    grown("champion", "--set", grown.stage_path("stacking").name)
    (grown.texts / "label0").rename(grown.texts / "renamed")  # hides no text that the champion has learned from
    record = run(grown, "--set", "splitting.seed=1", "--set", "promotion.min_documents=1")
    promotion = next(stage for stage in record["stages"] if stage["stage"] == "promotion")
    test = next(stage for stage in record["stages"] if stage["stage"] == "evaluation")
    assert promotion["rows"] < test["rows"]  # divided anew, so the champion has learned most of today's test split
    decision = json.loads(Path(promotion["path"], "decision.json").read_text())
    assert decision["documents"] == promotion["rows"]
    assert "the champion cannot predict 'renamed', new since it was trained" in record["decision"]
    assert list(decision["new_labels"]) == ["renamed"]


@pytest.mark.slow
def test_each_run_trains_a_new_model_if_set_to_always(pipeline: Pipeline):
    pipeline.configure(retrain={"when": "always"}, promotion={"when": "by_hand", "test": "none", "min_documents": 1})
    first, second = (run(pipeline) for _ in range(2))
    models = [next(s["path"] for s in record["stages"] if s["stage"] == "stacking") for record in (first, second)]
    assert models[0] != models[1]
    assert [s["status"] for s in second["stages"] if s["stage"] == "tokenization"] == ["reused"]
    assert champion_of(pipeline) is None
    assert not os.path.lexists(pipeline.data / "champion")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "abc"], "no model starts with it; available: none"),
        (["--rollback"], "no earlier champion"),
    ],
)
def test_a_missing_champion_is_an_error(pipeline: Pipeline, arguments: list[str], message: str):
    result = pipeline("champion", *arguments)
    assert result.code == 2
    assert message in result.err
