"""Steps in bfloat16: supported cells and devices, what stays float32, and reproducibility."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from training_texts import small, write_inputs

from tasks.shared.errors import SettingsError
from tasks.training.cells.cells import CELLS, TorchCell
from tasks.training.input.windows import Batch
from tasks.training.models.controls import CONTROLS
from tasks.training.models.network import Architecture, Dropout, Network
from tasks.training.runtime.precision import autocast, choose_precision, supports_bfloat16
from tasks.training.task import train as stage

CPU = torch.device("cpu")


def test_auto_is_float32_on_the_cpu_and_an_explicit_precision_is_used() -> None:
    assert choose_precision("auto", "mingru", CPU) == "float32"
    assert [choose_precision("bfloat16", cell, CPU) for cell in [*CELLS, "tanh"]] == ["bfloat16"] * (len(CELLS) + 1)
    assert choose_precision("float32", "mingru", CPU) == "float32"


def test_a_cell_that_cannot_compute_in_bfloat16_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn(torch.nn.Linear):
        def __init__(self, features: int, hidden: int, bidirectional: bool) -> None:
            super().__init__(features, hidden)

        def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
            raise NotImplementedError("no kernel")

    monkeypatch.setitem(CELLS, "stubborn", Stubborn)
    with pytest.raises(SettingsError, match=r"training.precision: the cell stubborn cannot compute in bfloat16 on cpu"):
        choose_precision("bfloat16", "stubborn", CPU)
    assert not supports_bfloat16("stubborn", CPU)


@pytest.mark.parametrize("cell", [*CELLS, *CONTROLS])
def test_the_loss_and_the_weights_stay_float32(cell: str) -> None:
    torch.manual_seed(0)
    architecture = Architecture(3, 30, 3, 8, 6, 1, True, cell)
    network = Network(architecture, Dropout())
    torch.nn.init.normal_(network.output.weight)
    batch = Batch(torch.randint(1, 30, (9, 4)), torch.randn(9, 4, 6), torch.tensor([9, 4, 1, 7]))
    logits = {}
    for precision in ("float32", "bfloat16"):
        with autocast(precision, CPU):
            logits[precision] = network(batch).float()
    logits["bfloat16"].sum().backward()
    torch.testing.assert_close(logits["bfloat16"], logits["float32"], rtol=0.05, atol=0.1)
    assert {weight.grad.dtype for weight in network.parameters() if weight.grad is not None} == {torch.float32}


def test_training_in_bfloat16_is_reproducible_and_recorded(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path, per_label=8)
    artifacts = []
    for name in ("first", "second"):
        out = tmp_path / name / "out"
        out.mkdir(parents=True)
        stage.function(small(precision="bfloat16"), out, **inputs, scratch=tmp_path / name / "scratch")
        artifacts.append(out)
    for name in ("rnn/networks.safetensors", "rnn/config.json", "rnn.out-of-fold.parquet"):
        assert (artifacts[0] / name).read_bytes() == (artifacts[1] / name).read_bytes()
    history = pq.read_table(artifacts[0] / "history.parquet").to_pylist()
    assert {row["precision"] for row in history} == {"bfloat16"}


def test_checking_support_does_not_change_random_numbers() -> None:
    supports_bfloat16.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    assert supports_bfloat16("gru", CPU)
    assert torch.equal(torch.rand(2), expected)


def test_pytorchs_cells_have_no_dropout_of_their_own() -> None:
    """cuDNN's own dropout draws random numbers that our seeds do not control."""
    layers = [make(4, 4, True) for make in CELLS.values()]
    assert {layer.layer.dropout for layer in layers if isinstance(layer, TorchCell)} == {0.0}


def test_a_cell_that_falls_back_to_float16_does_not_support_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN's cells do under autocast; gradients of a mean over many windows are too small for float16."""

    class Half(torch.nn.Linear):
        def __init__(self, features: int, hidden: int, bidirectional: bool) -> None:
            super().__init__(features, hidden)

        def forward(self, inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(inputs).half()

    monkeypatch.setitem(CELLS, "half", Half)
    assert not supports_bfloat16("half", CPU)
