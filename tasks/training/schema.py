"""The files of a model folder, and the columns of its history (one row an epoch) and of its gradients."""

from __future__ import annotations

import pyarrow as pa

WEIGHTS, CONFIG, HISTORY_FILE = "model.safetensors", "config.json", "history.parquet"
GRADIENTS_FILE = "gradients.parquet"

HISTORY = pa.schema(
    [
        pa.field("epoch", pa.int32(), nullable=False),  # from 1
        pa.field("kept", pa.bool_(), nullable=False),  # the model's weights are this epoch's
        pa.field("train_loss", pa.float64(), nullable=False),  # mean over windows, in nats, as weighted and smoothed
        pa.field("validation_loss", pa.float64(), nullable=False),  # in nats; of labels: over documents
        pa.field("train_window_accuracy", pa.float64(), nullable=False),  # under dropout; objective language: of tokens
        pa.field("validation_window_accuracy", pa.float64()),  # objective language: of tokens
        pa.field("validation_accuracy", pa.float64()),  # over documents; objective language: of the kept epoch alone
        pa.field("validation_macro_f1", pa.float64()),  # the same, labels of the validation part
        pa.field("gradient_norm_mean", pa.float64(), nullable=False),  # before clipping
        pa.field("gradient_norm_max", pa.float64(), nullable=False),
        pa.field("clipped_share", pa.float64(), nullable=False),  # of the epoch's steps
        pa.field("learning_rate", pa.float64(), nullable=False),  # at the epoch's last step
        pa.field("tokens_per_second", pa.float64(), nullable=False),  # of training, validation left out
        pa.field("seconds", pa.float64(), nullable=False),  # with validation
        pa.field("completion_seconds", pa.float64()),  # of what comes after all epochs; of the kept one alone
        pa.field("precision", pa.string(), nullable=False),  # that steps computed in: float32 | bfloat16
    ]
)

GRADIENTS = pa.schema(
    [
        pa.field("epoch", pa.int32(), nullable=False),  # after which the weights were these; the kept one is there
        pa.field("layer", pa.int32(), nullable=False),  # from 1, the one that reads the embeddings
        pa.field("direction", pa.string(), nullable=False),  # forward | backward
        pa.field("state", pa.string(), nullable=False),  # h; of an LSTM also c, its memory
        pa.field("distance", pa.int32(), nullable=False),  # steps from the state to the one that the loss is read from
        pa.field("windows", pa.int32(), nullable=False),  # that are so long
        pa.field("norm", pa.float64(), nullable=False),  # mean over the windows; of h, 1 at distance 0 (gradients.py)
        pa.field("smallest", pa.float64(), nullable=False),  # of the windows
        pa.field("largest", pa.float64(), nullable=False),
    ]
)
