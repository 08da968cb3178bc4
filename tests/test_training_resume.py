"""Interrupted trainings resume to the same result; damage and divergence leave the last good checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from training_texts import labelled, small, write_inputs

from tasks.shared.errors import ArtifactError, TrainingError
from tasks.training.input.evidence import learn_evidence, learn_pairs
from tasks.training.input.vocabulary import WordVocabulary
from tasks.training.input.windows import cut
from tasks.training.loop.checkpoint import Checkpoints
from tasks.training.loop.fold_training import TrainedFold, train_fold
from tasks.training.loop.recipe import TrainingTexts
from tasks.training.settings import TrainingSettings
from tasks.training.task import _identity, make_recipe

KNOWN = labelled()
WORDS = WordVocabulary.learn(KNOWN.texts, 1000)
IDS = WORDS.encode(KNOWN.texts)
FOLD = 0


def checkpointed(folder: Path, settings: TrainingSettings, **identity: object) -> TrainedFold:
    """The network of the first fold."""
    pairs = learn_pairs(IDS, WORDS.size, 1000)
    evidence = learn_evidence(IDS, pairs, KNOWN.labels, 3, KNOWN.folds, 0.5, 64)
    texts = TrainingTexts(cut(IDS, pairs, settings.window, 4), KNOWN.labels, 3, KNOWN.folds, WORDS.size)
    checkpoints = Checkpoints(folder, {**_identity(settings, KNOWN, IDS), **identity})
    return train_fold(make_recipe(settings), texts, evidence.for_network(FOLD), FOLD, torch.device("cpu"), checkpoints)


def same(first: TrainedFold, second: TrainedFold) -> bool:
    others = second.network.state_dict()
    return bool((first.scores == second.scores).all()) and all(
        torch.equal(value, others[name]) for name, value in first.network.state_dict().items()
    )


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.mark.parametrize("cell", ["mingru", "lstm"])
def test_a_resumed_training_ends_with_the_same_weights(tmp_path: Path, cell: str) -> None:
    settings = small(cell=cell, epochs=5)
    uninterrupted = checkpointed(tmp_path, settings)
    assert [path.name[:11] for path in files(tmp_path)] == ["epoch-00004", "epoch-00005"]
    files(tmp_path)[-1].unlink()
    resumed = checkpointed(tmp_path, settings)
    assert same(uninterrupted, resumed)
    assert resumed.history[:4] == uninterrupted.history[:4]
    assert resumed.history[4]["train_loss"] == uninterrupted.history[4]["train_loss"]


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    uninterrupted = checkpointed(tmp_path, small())
    again = checkpointed(tmp_path, small())
    assert same(uninterrupted, again)
    assert again.history == uninterrupted.history


@pytest.mark.parametrize("damage", ["truncated", "edited", "emptied"])
def test_a_damaged_checkpoint_falls_back_to_the_previous_one(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    uninterrupted = checkpointed(tmp_path, small())
    newest = files(tmp_path)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": content[:-7], "edited": content, "emptied": b""}[damage])
    assert same(checkpointed(tmp_path, small()), uninterrupted)
    assert f"{newest} is damaged" in caplog.text


def test_training_starts_over_if_all_checkpoints_are_damaged(tmp_path: Path) -> None:
    uninterrupted = checkpointed(tmp_path, small())
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:-1])
    again = checkpointed(tmp_path, small())
    assert same(again, uninterrupted)
    assert len(again.history) == len(uninterrupted.history)


def test_a_partial_checkpoint_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "epoch-00009.unfinished").write_bytes(b"half")
    assert Checkpoints(tmp_path, {}).load() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"dropout": 0.25}, "training.dropout was 0.5 and is now 0.25"), ({"cell": "gru"}, "'mingru' and is now 'gru'")],
)
def test_a_checkpoint_from_other_settings_names_the_difference(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    checkpointed(tmp_path, small())
    with pytest.raises(TrainingError, match=message):
        checkpointed(tmp_path, small(**changes))


def test_a_checkpoint_from_other_texts_names_the_difference(tmp_path: Path) -> None:
    checkpointed(tmp_path, small())
    with pytest.raises(TrainingError, match=r"the texts' digest was .* and is now 'f00d'"):
        checkpointed(tmp_path, small(), **{"the texts' digest": "f00d"})


def test_a_checkpoint_may_move_to_another_device(tmp_path: Path) -> None:
    uninterrupted = checkpointed(tmp_path, small(device="cpu"))
    assert same(checkpointed(tmp_path, small(device="auto")), uninterrupted)


def test_divergence_stops_training_and_keeps_the_last_finite_checkpoint(tmp_path: Path) -> None:
    """Learning rate and decay multiply all weights by up to -99 in each step."""
    explosive = small(cell="tanh", epochs=50, learning_rate=10, weight_decay=10, warmup_fraction=0.9)
    with pytest.raises(
        TrainingError, match=r"fold 0, epoch \d+, batch \d+: the (loss|gradient|validation loss) is not fin"
    ) as caught:
        checkpointed(tmp_path, explosive)
    newest = files(tmp_path)[-1]
    assert str(newest) in str(caught.value)
    with safe_open(newest, framework="pt") as file:
        assert all(bool(file.get_tensor(name).isfinite().all()) for name in file.keys())  # noqa: SIM118


def test_a_folder_that_cannot_be_written_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("a file, not a folder")
    with pytest.raises(ArtifactError, match="the checkpoint of epoch 1 cannot be written"):
        checkpointed(tmp_path / "scratch", small())


STAGE = """
import sys
from pathlib import Path
from training_texts import small
from tasks.shared.runner.pool import open_executor
from tasks.training.task import train
base, work = Path(sys.argv[1]), Path(sys.argv[2])
(work / "out").mkdir(parents=True, exist_ok=True)
settings = small(epochs=8, hidden_size=48, embedding_size=32, batch_size=2, cell="minlstm")
inputs = {name: base / name for name in ("cleaned", "splits", "tokens", "vocabulary")}
with open_executor(sys.argv[3], 2) as executor:
    train.function(settings, work / "out", **inputs, scratch=work / "scratch", executor=executor)
"""


def start(base: Path, work: Path, runner: str) -> subprocess.Popen[bytes]:
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    return subprocess.Popen([sys.executable, "-c", STAGE, str(base), str(work), runner], env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["local", "processes"])
def test_a_killed_process_resumes_to_the_same_bytes(tmp_path: Path, runner: str) -> None:
    write_inputs(tmp_path, per_label=12)
    killed = start(tmp_path, tmp_path / "killed", runner)
    while len(list((tmp_path / "killed" / "scratch").glob("fold-1/epoch-*.safetensors"))) < 2:
        assert killed.poll() is None, "the training ended before it could be killed"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "out" / "rnn" / "networks.safetensors").exists()
    assert start(tmp_path, tmp_path / "killed", runner).wait() == 0
    assert start(tmp_path, tmp_path / "uninterrupted", "local").wait() == 0
    for name in ("rnn/networks.safetensors", "rnn/config.json", "rnn.out-of-fold.parquet"):
        resumed, uninterrupted = (tmp_path / work / "out" / name for work in ("killed", "uninterrupted"))
        assert resumed.read_bytes() == uninterrupted.read_bytes()
