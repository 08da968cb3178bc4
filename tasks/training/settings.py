"""The `training` section of pipeline.yaml, and the limits of its check."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.shared.section import Section


class EvidenceSettings(Section):
    """Used by input: evidence."""

    vocabulary_size: int = Field(30_000, ge=1, le=1_000_000, description="Lower-cased words with an id, at most.")
    max_pairs: int = Field(300_000, ge=0, le=10_000_000, description="Pairs of neighbouring words with evidence.")
    pseudo_count: float = Field(
        0.5, gt=0, le=100, description="Added to observed and expected texts: more shrinks the evidence of rare words."
    )
    dimensions: int = Field(
        64, ge=1, le=4096, description="Values per word; with more labels, their evidence is projected onto that many."
    )
    gate_dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of the states that weigh the evidence.")


class TrainingSettings(Section):
    """The RNN, a member of the stack: one network per fold. Lengths are in tokens."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Compute device; auto: cuda, else mps, else cpu."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Number format of a training step; auto: bfloat16 on a GPU that supports it, else float32."
    )
    deterministic: bool = Field(True, description="Use only deterministic kernels if the device has a choice.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of initial weights, shuffling and dropout.")

    when_useless: Literal["keep", "skip"] = Field(
        "keep",
        description="What a run does if the RNN did not join the stack of an earlier one, made in the same way of as "
        "many texts (±20 %); keep: train it all the same; skip: leave it out.",
    )

    input: Literal["evidence", "embeddings"] = Field(
        "evidence",
        description="What the RNN reads: evidence, embeddings and label evidence of lower-cased words; or embeddings "
        "of BPE tokens alone.",
    )
    max_megabytes: float = Field(
        120.0,
        gt=0,
        description="Megabytes of text that the RNN learns from, at most; of more, a sample of every label.",
    )
    evidence: EvidenceSettings = EvidenceSettings()
    cell: Literal["mingru", "minlstm", "gru", "lstm", "rnn", "tanh", "convolution"] = Field(
        "mingru", description="Recurrent cell; tanh and convolution have no recurrence, for comparison."
    )
    embedding_size: int = Field(16, ge=1, le=4096, description="Dimensions of a token's embedding.")
    hidden_size: int = Field(32, ge=1, le=8192, description="Units of a layer, in each direction.")
    num_layers: int = Field(1, ge=1, le=16, description="Recurrent layers.")
    bidirectional: bool = Field(True, description="Process windows in both directions.")

    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Probability spread evenly over all labels.")
    embedding_dropout: float = Field(
        0.2, ge=0, lt=1, description="Fraction of embedding dimensions dropped in a window."
    )
    token_dropout: float = Field(0.1, ge=0, lt=1, description="Fraction of tokens masked in a training window.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout between layers and before the last one.")
    class_weight_power: float = Field(
        0.0, ge=0, le=1, description="p in a label's weight count^-p; 0: equal weights for texts, 1: for labels."
    )

    window: int = Field(256, ge=1, le=65_536, description="Tokens in a window.")
    windows: int = Field(
        12_000,
        ge=1,
        le=100_000_000,
        description="Windows of all texts, about: of few texts many are read, of many only the first.",
    )
    batch_size: int = Field(16, ge=1, le=65_536, description="Windows in a training step.")
    epochs: int = Field(3, ge=1, le=10_000, description="Epochs of each network.")
    warmup_fraction: float = Field(
        0.1, ge=0, lt=1, description="Fraction of the steps in which the learning rate rises; then it falls to zero."
    )
    learning_rate: float = Field(3e-3, gt=0, le=10, description="Peak learning rate.")
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decoupled weight decay (AdamW), not of embeddings.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients with a larger norm are scaled down to it.")
    gradient_flow: bool = Field(
        False, description="Record the gradient profile by lag after each epoch, not only after the last one."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingSettings:
        if self.input == "embeddings" and self.embedding_size < 2:
            raise ValueError("embedding_size 1 leaves nothing once normalized; choose 2 or more")
        return self

    def cache_values(self) -> dict[str, Any]:
        """The values that the chosen input reads; `when_useless` has its effect through the input `judged`."""
        values = super().cache_values()
        del values["when_useless"]
        if self.input == "embeddings":
            del values["evidence"]
        return values


class TrainingLimits(Section):
    """Limits of the check after training."""

    max_gradient_norm: float = Field(1e4, gt=0, description="Largest gradient norm of any step, before clipping.")
    min_gain_over_majority: float = Field(
        -0.1,
        ge=-1,
        le=1,
        description="Minimum of the out-of-fold accuracy less the most common label's share; below 0 it allows for "
        "chance, at least two texts.",
    )
    min_accuracy: float | None = Field(None, ge=0, le=1, description="Minimum out-of-fold accuracy; null: none.")
