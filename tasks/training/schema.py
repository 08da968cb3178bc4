"""The files of the training stage's folder, and the columns of history and gradients."""

from __future__ import annotations

import pyarrow as pa

MEMBER = "rnn"
"""The member's folder, and its name in the stack."""
OUT_OF_FOLD_FILE = "rnn.out-of-fold.parquet"
HISTORY_FILE, GRADIENTS_FILE = "history.parquet", "gradients.parquet"

HISTORY = pa.schema(
    [
        pa.field("fold", pa.int32(), nullable=False),  # the fold that this network does not learn from
        pa.field("epoch", pa.int32(), nullable=False),  # from 1
        pa.field("train_loss", pa.float64(), nullable=False),  # mean over windows, in nats, with weights and smoothing
        pa.field("validation_loss", pa.float64(), nullable=False),  # mean over the texts of the fold, in nats
        pa.field("train_window_accuracy", pa.float64(), nullable=False),  # with dropout
        pa.field("validation_accuracy", pa.float64(), nullable=False),  # over the texts of the fold
        pa.field("validation_macro_f1", pa.float64(), nullable=False),
        pa.field("gradient_norm_mean", pa.float64(), nullable=False),  # before clipping
        pa.field("gradient_norm_max", pa.float64(), nullable=False),
        pa.field("clipped_share", pa.float64(), nullable=False),  # share of the epoch's steps
        pa.field("learning_rate", pa.float64(), nullable=False),  # at the epoch's last step
        pa.field("tokens_per_second", pa.float64(), nullable=False),  # without validation
        pa.field("seconds", pa.float64(), nullable=False),  # validation included
        pa.field("precision", pa.string(), nullable=False),  # of the steps: float32 | bfloat16
    ]
)

GRADIENTS = pa.schema(
    [
        pa.field("epoch", pa.int32(), nullable=False),  # of the first fold's network; the last one is always included
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
