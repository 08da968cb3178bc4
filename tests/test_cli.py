"""The command line: its output, and its errors."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import PROJECT, Pipeline, Result, write_corpus

from flows.cli.main import cli
from flows.pipeline.stages import STAGES as STAGE_NAMES
from tasks.prediction.model import load_model
from tasks.shared.errors import ArtifactError, InputError
from tasks.shared.files import file_digest
from tasks.shared.store import known_files

STAGES = "extraction cleaning splitting vocabulary tokenization linear training stacking evaluation".split()
FOLDERS = dict(
    zip(
        STAGES,
        "01_documents 02_cleaned 03_splits 04_vocabulary 05_tokens 06_linear 06_rnn 07_models 08_reports".split(),
        strict=True,
    )
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]) -> Pipeline:
    """A pipeline that has run once; tests must not change it."""
    root = tmp_path_factory.mktemp("done")
    write_corpus(root / "texts")
    made = Pipeline(root, prefect_server)
    made.configure()
    result = made("run")
    assert result.code == 0, result.err
    return made


def refused(result: Result, code: int = 2) -> str:
    """The single error line."""
    assert result.code == code, (result.out, result.err)
    assert result.out == ""
    assert "Traceback" not in result.err
    (line,) = [line for line in result.err.splitlines() if line.startswith("corpusflow: ")]
    return line


def test_help_names_commands_stages_and_exit_codes(done: Pipeline):
    result = done("--help")
    assert result.code == 0
    for word in ("run", "why", "inspect", "predict", "prune", "verify", "--set", "Exit codes", *STAGE_NAMES):
        assert word in result.out


def test_no_command_summary_is_truncated():
    assert "..." not in CliRunner().invoke(cli, ["--help"], prog_name="corpusflow").output.partition("Commands:")[2]


@pytest.mark.parametrize("name", [*sorted(cli.commands), ""])
def test_every_option_has_a_help_text_and_every_example_is_valid(name: str):
    command: click.Command = cli.commands[name] if name else cli
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []
    text = command.help or ""
    examples = [line.strip() for line in text.splitlines() if line.strip().startswith("corpusflow ")]
    for example in examples:
        _, called, *arguments = re.split(r"  +| <", example)[0].split()
        with click.Context(cli) as parent:
            cli.commands[called].make_context(called, arguments, parent)
    assert examples or name in {"automations", "serve", "verify"}  # called without arguments


@pytest.mark.parametrize("stage", STAGES)
def test_path_and_inspect_show_each_stage(done: Pipeline, stage: str):
    path = done.stage_path(stage)
    assert path.parent.name == FOLDERS[stage]
    shown = done("inspect", stage)
    assert shown.code == 0, shown.err
    assert "expectations hold" in shown.out
    found = done("inspect", stage, "--json").json
    assert found["rows"] > 0
    assert all(check["success"] and check["reason"] for check in found["checks"])


def test_inspect_decodes_tokens(done: Pipeline):
    found = done("inspect", "tokenization", "--rows", "1", "--json").json
    (row,) = found["datasets"]["tokens"]["sample"]
    cleaned = pd.read_parquet(done.data / "02_cleaned/latest/documents").set_index("doc_id")
    start = row["token_ids"].removesuffix("…").replace("⏎", "\n")
    assert cleaned.loc[row["doc_id"], "text"].startswith(start)
    assert len(start) > 50


def test_runs_and_why_show_a_run(done: Pipeline):
    (record,) = done("runs", "--json").json["runs"]
    assert record["status"] == "completed"
    assert record["metrics"]["accuracy"] >= 0
    assert done("why", "--run", record["run"][:10]).out.count("first time") == len(STAGES) + 1
    assert "no run 'zzz'" in refused(done("why", "--run", "zzz"))


def test_the_end_of_a_run_names_the_report_and_the_doubtful_labels(done: Pipeline):
    report = done.stage_path("evaluation")
    again = done("run")
    assert f"report  {report}/report.html" in again.out
    assert re.search(
        rf"labels  \d+ of \d+ are worth a second look: {re.escape(str(report))}/doubtful_labels\.parquet", again.out
    )


def test_predict_labels_files_and_standard_input(done: Pipeline, tmp_path: Path):
    text = " ".join(["apple1 river1 stone1 cloud1 tiger1"] * 12)
    (tmp_path / "a.txt").write_text(text)
    result = done("predict", str(tmp_path / "a.txt"), "-", "--json", stdin=text)
    assert result.code == 0, result.err
    first, second = result.json["predictions"]
    assert first["probabilities"] == second["probabilities"]
    assert first["label"] == max(first["probabilities"], key=first["probabilities"].__getitem__)
    assert abs(sum(first["probabilities"].values()) - 1) < 1e-6
    assert set(first["probabilities"]) == {"label0", "label1", "label2"}


def test_predict_explains_the_label(done: Pipeline, tmp_path: Path):
    (tmp_path / "a.txt").write_text("[b] apple1 river1, stone1. cloud1 tiger1 the of and to a in " * 5)
    (tmp_path / "empty.txt").write_text(" \n")
    result = done("predict", "--explain", "--top", "3", str(tmp_path / "a.txt"), "--json")
    (entry,) = result.json["predictions"]
    explained, probabilities = entry["explanation"], entry["probabilities"]
    assert explained["label"] == entry["label"]
    log_odds = np.log(probabilities[explained["label"]] / probabilities[explained["against"]])
    assert explained["log_odds"] == pytest.approx(log_odds, abs=1e-3)
    amounts = [term["amount"] for term in explained["terms"]] + [explained["other_terms"]["amount"]]
    assert sum(amounts) + sum(explained["not_divided"].values()) == pytest.approx(log_odds, abs=1e-3)
    assert len(explained["terms"]) == 3
    shown = done("predict", "--explain", "--top", "3", str(tmp_path / "a.txt"), str(tmp_path / "empty.txt"))
    assert shown.code == 1
    lines = shown.out.splitlines()
    assert lines[1].startswith(f"  why {explained['label']} and not {explained['against']}: log-odds +")
    assert len(lines) == 1 + 1 + 3 + 1 + 1
    assert all("█" in line and "%" in line for line in lines[2:5])
    (explanation,) = load_model(done.stage_path("stacking")).explain([(tmp_path / "a.txt").read_text()])
    assert [term.text for term in explanation.terms[:3]] == [term["term"] for term in explained["terms"]]
    with pytest.raises(InputError, match=r"texts\[1\]: no text left once cleaned"):
        load_model(done.stage_path("stacking")).explain(["a", ""])


def test_a_model_labels_texts_from_python(done: Pipeline, tmp_path: Path):
    model = load_model(done.stage_path("stacking"))
    texts = [" ".join([f"{word}{label}" for word in ("apple", "river", "stone")] * 20) for label in range(3)]
    probabilities = model.predict_proba([*texts, " \n"])
    assert model.label_names == ("label0", "label1", "label2")
    assert probabilities.shape == (4, 3)
    assert np.allclose(probabilities[:3].sum(axis=1), 1)
    assert np.isnan(probabilities[3]).all()
    assert model.predict(iter(texts)) == [model.label_names[row.argmax()] for row in probabilities[:3]]
    assert model.predict([]) == []
    (tmp_path / "a.txt").write_text(texts[0])
    shown = done("predict", str(tmp_path / "a.txt"), "--json").json["predictions"][0]
    assert np.allclose(list(shown["probabilities"].values()), probabilities[0])
    with pytest.raises(InputError, match=r"texts\[1\]: no text left once cleaned"):
        model.predict([texts[0], ""])
    with pytest.raises(InputError, match=r"texts\[0\]: NoneType, not a string"):
        model.predict([None])
    with pytest.raises(InputError, match="put it into a list"):
        model.predict(texts[0])
    with pytest.raises(ArtifactError, match=r"artifact\.json"):
        load_model(tmp_path)


def test_a_model_loads_neither_prefect_nor_what_only_training_needs(done: Pipeline):
    heavy = {"prefect", "great_expectations", "pandas", "sklearn", "scipy.optimize", "matplotlib", "nltk"}
    code = (
        "import sys; from tasks.prediction.model import load_model; light = 'torch' not in sys.modules\n"
        f"load_model(sys.argv[1]).predict(['some text']); print(light, sorted({heavy!r} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(done.stage_path("stacking"))]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "[]"]


def test_predict_hashes_the_model_once(done: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hashed = []
    monkeypatch.setattr(known_files, "file_digest", lambda path: hashed.append(path.name) or file_digest(path))
    (tmp_path / "a.txt").write_text("apple1 river1 stone1")
    config = ["--config", str(done.root / "pipeline.yaml")]
    for arguments in (config, ["--model", str(done.stage_path("stacking"))]):
        hashed.clear()
        result = CliRunner().invoke(cli, ["predict", str(tmp_path / "a.txt"), *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert hashed.count("model.json") == 1


def test_predict_refuses_files_that_are_not_text(done: Pipeline, tmp_path: Path):
    (tmp_path / "bad.txt").write_bytes(b"abc\xff")
    (tmp_path / "empty.txt").write_text(" \n")
    assert "bad.txt: not utf-8 at byte 3" in refused(done("predict", str(tmp_path / "bad.txt")))
    assert "empty.txt: no text" in refused(done("predict", str(tmp_path / "empty.txt")))
    assert "none.txt: cannot be read" in refused(done("predict", str(tmp_path / "none.txt")))
    assert "a folder; `corpusflow predict-batch` labels all its files" in refused(done("predict", str(tmp_path)))
    (tmp_path / "nul.txt").write_bytes(b"judge\0\0court")
    (tmp_path / "invisible.txt").write_text("\u200b\ufeff\u2060\u3164", encoding="utf-8")
    assert "nul.txt: NUL at byte 5" in refused(done("predict", str(tmp_path / "nul.txt")))
    assert "invisible.txt: no text" in refused(done("predict", str(tmp_path / "invisible.txt")))


def test_one_bad_file_of_many_keeps_no_other_from_its_answer(done: Pipeline, tmp_path: Path):
    for name, content in {"a": b"apple1 river1", "b": b"caf\xe9 1", "c": b"\xe2\x80\x8b", "d": b"stone1"}.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
    files = [str(tmp_path / f"{name}.txt") for name in "abcd"]
    result = done("predict", *files, "--json")
    assert result.code == 1
    assert [entry["source"] for entry in result.json["predictions"]] == [files[0], files[3]]
    assert [entry["source"] for entry in result.json["refused"]] == files[1:3]
    lines = [line for line in result.err.splitlines() if line.startswith("corpusflow: ")]
    assert "b.txt: not utf-8 at byte 3 (0xe9); save it as utf-8, or give --encoding" in lines[0]
    assert "c.txt: no text in the file" in lines[1]
    assert lines[2] == "corpusflow: 2 of 4 files got no label"
    assert done("predict", files[1], "--encoding", "cp1252").code == 0


def test_a_modified_model_is_refused(done: Pipeline, tmp_path: Path):
    text = tmp_path / "a.txt"
    text.write_text("apple1 river1 of the and to a in that is was he")
    assert "artifact.json" in refused(done("predict", str(text), "--model", str(tmp_path)), code=1)
    edited = shutil.copytree(done.stage_path("stacking"), tmp_path / "edited")
    (edited / "model.json").write_text((edited / "model.json").read_text().replace("label0", "label9"))
    assert "model.json: content differs" in refused(done("predict", str(text), "--model", str(edited)), code=1)


def test_a_command_before_the_first_run_says_what_to_do(pipeline: Pipeline):
    assert "`corpusflow run` makes one" in refused(pipeline("path", "training"))
    assert "`corpusflow run` makes one" in refused(pipeline("predict", "x.txt"))
    assert "`corpusflow run` starts one" in refused(pipeline("why"))
    assert "no runs yet" in pipeline("runs").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--set", "training.epoch=3"], "training.epoch: unknown key"),
        (["run", "--set", "training.epochs"], "expected KEY=VALUE"),
        (["run", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["inspect", "tokens"], None),
        (["prune", "--keep", "0"], None),
        (["nonsense"], None),
    ],
)
def test_mistakes_end_in_exit_code_2(done: Pipeline, arguments: list[str], message: str | None):
    result = done(*arguments)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert message is None or message in refused(result)


def test_an_error_names_the_text_and_the_problem(pipeline: Pipeline):
    bad = pipeline.texts / "label1" / "003.txt"
    good = bad.read_bytes()
    bad.write_bytes(good[:40] + b"\xe9" + good[40:])
    line = refused(pipeline("run"))
    assert "003.txt" in line
    assert "40" in line
    bad.write_bytes(good)
    for path in pipeline.texts.glob("label[12]/*"):
        path.unlink()
    assert "a classifier needs at least two labels" in refused(pipeline("run"), code=1)
    assert not list(pipeline.data.rglob(".staged-*"))


def test_a_data_folder_that_cannot_be_written_is_named(pipeline: Pipeline):
    (pipeline.root / "file").write_text("")
    pipeline.configure(data="file/data")
    assert "file/data: cannot be written" in refused(pipeline("run"), code=1)


def test_prune_keeps_what_the_newest_report_needs(pipeline: Pipeline):
    pipeline.configure(promotion={"when": "by_hand"})
    for seed in (1, 2, 3):
        pipeline.statuses("--set", f"training.seed={seed}")
    before = pipeline.stage_path("evaluation")
    dry = pipeline("prune", "--keep", "1", "--dry-run", "--json").json
    assert {entry["stage"] for entry in dry["removed"]} == {"training", "stacking", "evaluation", "promotion"}
    assert all(Path(entry["path"]).exists() for entry in dry["removed"])
    removed = pipeline("prune", "--keep", "1", "--json").json["removed"]
    assert removed == dry["removed"]
    assert len(removed) == 8  # of four stages, all but the newest of three
    assert not any(Path(entry["path"]).exists() for entry in removed)
    assert pipeline.stage_path("evaluation") == before
    assert pipeline("verify", "--json").json["artifacts"].__len__() == len(STAGES) + 1
    assert set(pipeline.statuses("--set", "training.seed=3").values()) == {"reused"}


def test_the_embedded_server_needs_no_setup_and_touches_no_home(pipeline: Pipeline, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in pipeline.environment.items() if not k.startswith("PREFECT_")}
    pipeline.environment = environment | {"HOME": str(home), "PREFECT_HOME": str(tmp_path / "prefect")}
    assert set(pipeline.statuses().values()) == {"built"}
    assert not (home / ".prefect").exists()
    assert (tmp_path / "prefect" / "prefect.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_leaves_nothing_half_written(pipeline: Pipeline, stage: str):
    write_corpus(pipeline.texts, documents=400)  # so that every stage takes long enough to be interrupted
    pipeline.configure(training={"epochs": 2}, evaluation={"bootstrap_samples": 20000})
    process = pipeline.start("run", "--json")
    folder = pipeline.data / FOLDERS[stage]
    until = time.monotonic() + 200
    while not list(folder.glob(".staged-*")) and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "interrupted; no file is half-written" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert "Crash" not in err
    assert list(folder.glob(".staged-*")) == []
    assert json.loads(pipeline("verify", "--json").out)["artifacts"].__len__() == STAGES.index(stage)
    after = pipeline.statuses()
    assert [after[name] for name in STAGES[: STAGES.index(stage)]] == ["reused"] * STAGES.index(stage)
    assert after[stage] == "built"
