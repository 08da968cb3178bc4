"""The files of a model folder, and the columns of its history (one row per epoch) and of its gradients."""

from __future__ import annotations

import pyarrow as pa

WEIGHTS, CONFIG, HISTORY_FILE = "model.safetensors", "config.json", "history.parquet"
GRADIENTS_FILE = "gradients.parquet"

HISTORY = pa.schema(
    [
        pa.field("epoch", pa.int32(), nullable=False),  # from 1
        pa.field("kept", pa.bool_(), nullable=False),  # the model has this epoch's weights
        pa.field(
            "train_loss", pa.float64(), nullable=False
        ),  # mean over windows, in nats, with label weights and smoothing
        pa.field("validation_loss", pa.float64(), nullable=False),  # in nats; objective labels: over documents
        pa.field("train_window_accuracy", pa.float64(), nullable=False),  # with dropout; objective language: of tokens
        pa.field("validation_window_accuracy", pa.float64()),  # objective language: of tokens
        pa.field("validation_accuracy", pa.float64()),  # over documents; objective language: only of the kept epoch
        pa.field("validation_macro_f1", pa.float64()),  # likewise, over the labels of the validation split
        pa.field("gradient_norm_mean", pa.float64(), nullable=False),  # before clipping
        pa.field("gradient_norm_max", pa.float64(), nullable=False),
        pa.field("clipped_share", pa.float64(), nullable=False),  # share of the epoch's steps
        pa.field("learning_rate", pa.float64(), nullable=False),  # at the epoch's last step
        pa.field("tokens_per_second", pa.float64(), nullable=False),  # without validation
        pa.field("seconds", pa.float64(), nullable=False),  # validation included
        pa.field(
            "completion_seconds", pa.float64()
        ),  # for the classifier and gradients, after all epochs; only of the kept epoch
        pa.field("precision", pa.string(), nullable=False),  # of the steps: float32 | bfloat16
    ]
)

GRADIENTS = pa.schema(
    [
        pa.field(
            "epoch", pa.int32(), nullable=False
        ),  # the weights are those after this epoch; the kept one is always included
        pa.field("layer", pa.int32(), nullable=False),  # from 1, the layer next to the embeddings
        pa.field("direction", pa.string(), nullable=False),  # forward | backward
        pa.field("state", pa.string(), nullable=False),  # h; for an LSTM also c
        pa.field(
            "distance", pa.int32(), nullable=False
        ),  # steps between the state and the one that the loss depends on
        pa.field("windows", pa.int32(), nullable=False),  # at least this long
        pa.field("norm", pa.float64(), nullable=False),  # mean over the windows; h: 1 at distance 0 (gradient_flow.py)
        pa.field("smallest", pa.float64(), nullable=False),  # over the windows
        pa.field("largest", pa.float64(), nullable=False),
    ]
)
