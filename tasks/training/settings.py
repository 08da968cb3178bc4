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
    """The model, its training, and when it stops. Lengths are in tokens."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Compute device; auto: cuda, else mps, else cpu."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Number format of a training step; auto: bfloat16 on a GPU that supports it, else float32."
    )
    processes: int = Field(1, ge=1, le=64, description="Processes on this machine that share each step.")
    deterministic: bool = Field(True, description="Use only deterministic kernels if the device has a choice.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of initial weights, window offsets, shuffling and dropout.")

    objective: Literal["language", "labels"] = Field(
        "language",
        description="What the RNN learns: language, to predict each token from its surroundings (a head then "
        "classifies texts by its states); or labels, to classify every window.",
    )
    cell: Literal["mingru", "minlstm", "gru", "lstm", "rnn", "none"] = Field(
        "mingru", description="Recurrent cell; none (objective labels): a bag of embeddings, as a baseline."
    )
    embedding_size: int = Field(128, ge=1, le=4096, description="Dimensions of a token's embedding.")
    hidden_size: int = Field(128, ge=1, le=8192, description="Units of a layer, in each direction.")
    num_layers: int = Field(1, ge=1, le=16, description="Recurrent layers.")
    bidirectional: bool = Field(True, description="Process windows in both directions.")
    prediction_ratio: float = Field(
        0.2, gt=0, le=1, description="Objective language: fraction of a window's tokens that a step predicts."
    )
    codebook_size: int = Field(
        1024, ge=1, le=65_536, description="Objective language: clusters of states that are counted in a text, at most."
    )
    head_C: float = Field(  # noqa: N815 (what scikit-learn calls it)
        5.0,
        gt=0,
        description="Objective language: inverse regularization of the head; validation may select 6 or 30 times this.",
    )
    pooling: Literal["mean", "mean_max"] = Field(
        "mean", description="Objective labels: pooling of a window's states; mean_max concatenates mean and maximum."
    )
    skip: bool = Field(True, description="Objective labels: the classifier also gets the mean of the embeddings.")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Objective labels: probability spread evenly over all labels."
    )

    embedding_dropout: float = Field(
        0.15, ge=0, lt=1, description="Fraction of embedding dimensions dropped in a window."
    )
    token_dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of tokens masked in a training window.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout between recurrent layers and before the output layer.")
    class_weight_power: float = Field(
        1.0, ge=0, le=1, description="p in a label's weight count^-p; 0: documents count equally, 1: labels do."
    )

    window: int = Field(
        128, ge=1, le=65_536, description="Tokens in a window; each epoch cuts the texts at other offsets."
    )
    stride: int = Field(
        64, ge=1, le=65_536, description="Objective labels: tokens between the starts of windows in prediction."
    )
    batch_size: int = Field(64, ge=1, le=65_536, description="Windows in a training step.")
    shuffle_tokens: int = Field(
        2**23,
        ge=1,
        le=2**28,
        description="Size of the shuffle buffer in tokens, at most 12 bytes each; a training split that fits is "
        "shuffled whole.",
    )
    epochs: int = Field(3, ge=1, le=10_000, description="Epochs of the schedule, at most.")
    patience: int = Field(
        3, ge=1, le=10_000, description="Epochs without a better validation loss before training stops."
    )
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(
        "one_cycle", description="Learning rate over the epochs: up and down, down, or constant."
    )
    warmup_fraction: float = Field(
        0.2, ge=0, lt=1, description="Fraction of the schedule in which the learning rate rises (one_cycle)."
    )
    learning_rate: float = Field(5e-3, gt=0, le=10, description="Peak learning rate.")
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decoupled weight decay (AdamW).")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients with a larger norm are scaled down to it.")
    gradient_flow: bool = Field(
        False, description="Record the gradient profile by lag after each epoch, not only for the kept one."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingSettings:
        if self.objective == "labels" and self.stride > self.window:
            raise ValueError(f"stride {self.stride} is larger than window {self.window}: texts would have gaps")
        if self.processes > self.batch_size:
            raise ValueError(f"processes {self.processes} exceed batch_size {self.batch_size}: some would idle")
        if self.objective == "language" and self.cell == "none":
            raise ValueError("cell none needs objective: labels, since it learns no language")
        if self.objective == "language" and self.bidirectional and self.num_layers > 1:
            raise ValueError(
                f"num_layers {self.num_layers} in both directions would see the token to predict; "
                "set num_layers: 1, or bidirectional: false, or objective: labels"
            )
        if self.cell == "none" and not self.skip:
            raise ValueError("cell none needs skip: true, else the classifier has no input")
        return self

    def cache_values(self) -> dict[str, Any]:
        """The values that the chosen objective reads."""
        return {name: value for name, value in super().cache_values().items() if name not in UNREAD[self.objective]}


class TrainingLimits(Section):
    """Limits of the check after training."""

    max_gradient_norm: float = Field(1e4, gt=0, description="Largest gradient norm of any step, before clipping.")
    min_gain_over_majority: float = Field(
        -0.1,
        ge=-1,
        le=1,
        description="How far the kept epoch's validation accuracy must exceed the most common label's share; a "
        "negative value allows that much less, and at least two texts, as chance.",
    )
    min_validation_accuracy: float | None = Field(
        None, ge=0, le=1, description="Minimum validation accuracy of the kept epoch; null: none."
    )
