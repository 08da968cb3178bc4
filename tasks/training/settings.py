"""The `training` section of pipeline.yaml, and the thresholds of its check."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.shared.section import Section

UNREAD = {
    "language": {"pooling", "skip", "label_smoothing", "stride"},
    "labels": {"prediction_ratio", "codebook_size", "head_C"},
}
"""Settings that an objective does not read."""


class TrainingSettings(Section):
    """What is trained, how, and when it stops. Lengths are counted in tokens."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where to compute; auto takes cuda, else mps, else cpu."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Numbers that a step computes in; auto takes bfloat16 on a GPU made for it, else float32."
    )
    processes: int = Field(1, ge=1, le=64, description="Processes on this machine that share the work of every step.")
    deterministic: bool = Field(True, description="Only deterministic kernels, where the device offers a choice.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of initial weights, window offsets, shuffling and dropout.")

    objective: Literal["language", "labels"] = Field(
        "language",
        description="What the RNN learns: language, to tell each token from those around it, and texts are classified "
        "by what it read; or labels, to name the label of every window.",
    )
    cell: Literal["mingru", "minlstm", "gru", "lstm", "rnn", "none"] = Field(
        "mingru", description="The recurrent cell; none (objective labels) leaves a bag of embeddings, as a baseline."
    )
    embedding_size: int = Field(128, ge=1, le=4096, description="Dimensions of a token's embedding.")
    hidden_size: int = Field(128, ge=1, le=8192, description="Units of a layer, in each direction.")
    num_layers: int = Field(1, ge=1, le=16, description="Recurrent layers.")
    bidirectional: bool = Field(True, description="Read every window in both directions.")
    prediction_ratio: float = Field(
        0.2, gt=0, le=1, description="Objective language: share of a window's tokens that a step asks for."
    )
    codebook_size: int = Field(
        1024, ge=1, le=65_536, description="Objective language: kinds of states that are counted in a text, at most."
    )
    head_C: float = Field(  # noqa: N815 (what scikit-learn calls it)
        5.0,
        gt=0,
        description="Objective language: inverse of the penalty on the regression's weights; validation may choose 6 "
        "or 30 times.",
    )
    pooling: Literal["mean", "mean_max"] = Field(
        "mean", description="Objective labels: a window's states become their mean, or mean and maximum side by side."
    )
    skip: bool = Field(True, description="Objective labels: the mean of the embeddings goes to the classifier as well.")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Objective labels: probability spread evenly over all labels."
    )

    embedding_dropout: float = Field(0.15, ge=0, lt=1, description="Share of embedding dimensions off in a window.")
    token_dropout: float = Field(0.1, ge=0, lt=1, description="Share of tokens left blank in a training window.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout between layers and before the last one.")
    class_weight_power: float = Field(
        1.0, ge=0, le=1, description="p in the weight count^-p of a label; 0 weighs all documents alike, 1 all labels."
    )

    window: int = Field(128, ge=1, le=65_536, description="Tokens in a window; texts are cut anew each epoch.")
    stride: int = Field(
        64, ge=1, le=65_536, description="Objective labels: tokens from window to window when predicting."
    )
    batch_size: int = Field(64, ge=1, le=65_536, description="Windows in a training step.")
    shuffle_tokens: int = Field(
        2**23,
        ge=1,
        le=2**28,
        description="Tokens among whose windows a training step's are drawn, at most 12 bytes each; a training part "
        "that has no more is shuffled whole.",
    )
    epochs: int = Field(3, ge=1, le=10_000, description="Epochs of the schedule, at most.")
    patience: int = Field(3, ge=1, le=10_000, description="Epochs without a better validation loss before stopping.")
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        "one_cycle", description="Learning rate over the epochs: up and down, down, or flat."
    )
    warmup_fraction: float = Field(0.2, ge=0, lt=1, description="Share of the schedule spent going up (one_cycle).")
    learning_rate: float = Field(5e-3, gt=0, le=10, description="The highest learning rate.")
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decoupled weight decay (AdamW).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients with a larger norm are scaled down to it.")
    gradient_flow: bool = Field(
        False, description="Record after each epoch how far gradients reach; of the kept one it is always recorded."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingSettings:
        if self.objective == "labels" and self.stride > self.window:
            raise ValueError(f"stride {self.stride} is larger than window {self.window}: texts would have gaps")
        if self.processes > self.batch_size:
            raise ValueError(f"processes {self.processes} exceed batch_size {self.batch_size}: some would idle")
        if self.objective == "language" and self.cell == "none":
            raise ValueError("cell none reads nothing: it needs objective: labels")
        if self.objective == "language" and self.bidirectional and self.num_layers > 1:
            raise ValueError(
                f"num_layers {self.num_layers} in both directions would see the token to predict; "
                "set num_layers: 1, or bidirectional: false, or objective: labels"
            )
        if self.cell == "none" and not self.skip:
            raise ValueError("cell none needs skip: true, else nothing reaches the classifier")
        return self

    def cache_values(self) -> dict[str, Any]:
        """The values that the chosen objective reads."""
        return {name: value for name, value in super().cache_values().items() if name not in UNREAD[self.objective]}


class TrainingLimits(Section):
    """Thresholds of the check after training."""

    max_gradient_norm: float = Field(1e4, gt=0, description="Largest gradient norm of any step, before clipping.")
    min_gain_over_majority: float = Field(
        -0.1,
        ge=-1,
        le=1,
        description="Least validation accuracy of the kept epoch, less the commonest label's share; below 0 it is what "
        "chance may cost, two texts at least.",
    )
    min_validation_accuracy: float | None = Field(
        None, ge=0, le=1, description="Floor of the kept epoch's validation accuracy; null for none."
    )
