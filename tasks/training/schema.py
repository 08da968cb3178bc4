"""The files of a model folder, and the columns of its history: one row an epoch."""

from __future__ import annotations

import pyarrow as pa

WEIGHTS, CONFIG, TOKENIZER, HISTORY_FILE = "model.safetensors", "config.json", "tokenizer.json", "history.parquet"

HISTORY = pa.schema(
    [
        pa.field("epoch", pa.int32(), nullable=False),  # from 1
        pa.field("kept", pa.bool_(), nullable=False),  # the model's weights are this epoch's
        pa.field("train_loss", pa.float64(), nullable=False),  # mean over windows, in nats, as weighted and smoothed
        pa.field("validation_loss", pa.float64(), nullable=False),  # in nats; of labels: over documents
        pa.field("train_window_accuracy", pa.float64(), nullable=False),  # under dropout
        pa.field("validation_window_accuracy", pa.float64()),  # null, as the next two, where no labels are learned
        pa.field("validation_accuracy", pa.float64()),  # over documents
        pa.field("validation_macro_f1", pa.float64()),  # over documents, labels of the validation part
        pa.field("gradient_norm_mean", pa.float64(), nullable=False),  # before clipping
        pa.field("gradient_norm_max", pa.float64(), nullable=False),
        pa.field("clipped_share", pa.float64(), nullable=False),  # of the epoch's steps
        pa.field("learning_rate", pa.float64(), nullable=False),  # at the epoch's last step
        pa.field("tokens_per_second", pa.float64(), nullable=False),  # of training, validation left out
        pa.field("seconds", pa.float64(), nullable=False),  # with validation
    ]
)
