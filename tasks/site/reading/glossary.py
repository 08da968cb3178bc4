"""What each stage does and what each column means: the words of the site and of docs/columns.md."""

from __future__ import annotations

from tasks.drift.schema import FIGURES

STAGES = {
    "extraction": "Reads the labelled texts from the corpus, a folder or a table.",
    "cleaning": "Normalises texts and labels, and drops empty and duplicate texts, each with a reason.",
    "splitting": "Assigns each text to train, validation or test; a text keeps its split when others are added.",
    "vocabulary": "Learns a byte-level BPE vocabulary from the training texts alone.",
    "tokenization": "Turns texts into token ids.",
    "linear": "Fits the linear members: TF-IDF of words and of characters, each with a linear support vector machine.",
    "training": "Trains the RNN, one network per fold, on label evidence counted on the other folds.",
    "stacking": "Weighs the members by their out-of-fold predictions; a member joins only if it clearly helps.",
    "evaluation": "Measures the model on the test split, next to baselines on the same texts.",
    "promotion": "Compares the new model with the champion on test texts that neither has learned from.",
    "drift": "Compares today's texts with those that the champion was trained on.",
}
"""One sentence for each stage."""

COLUMNS = {
    "doc_id": "identifies the text in all stages",
    "label": "the text's label",
    "source": "where the text comes from: file, row or path",
    "text": "the text itself",
    "given_split": "the split that the corpus came with; empty if it came with none",
    "group": "doc_id of the first text of its group of near duplicates; its own if it has none",
    "digest": "digest of the cleaned text, by which later stages and runs know it",
    "reason": "why the text was dropped",
    "detail": "what was found, for people",
    "split": "train, validation or test",
    "token_id": "number of the token",
    "token": "the token in the printable form of tokenizer.json: Ġ is a space, Ċ a line break",
    "bytes": "the bytes that the token stands for",
    "count": "how often the training texts use the token",
    "merge_rank": "order in which the token was learned; empty for special tokens and single bytes",
    "token_ids": "the text as numbers of tokens",
    "length": "number of tokens",
    "predicted": "the label that the model gives",
    "log_probabilities": "logarithms of the labels' probabilities, in the order of their names",
    "rank": "place in the order, from 1",
    "suggested": "the label that the model's out-of-fold prediction gives",
    "label_probability": "probability of the text's label",
    "suggested_probability": "probability of the suggested label, out of fold",
    "probability": "probability of the predicted label",
    "pieces": "the beginning of the text in pieces, each with what it adds to the prediction, in nats",
    "terms": "the words and pairs that speak most for or against the prediction",
    "word": "a word or a pair of words",
    "amount": "what it adds to the label's logit in its texts, on average, in nats",
    "candidate": "label by the new model",
    "champion": "label by the champion; empty if there was none to compare with",
    "fold": "the fold that this network does not learn from",
    "epoch": "pass over the training texts, from 1",
    "train_loss": "mean loss of the training windows, in nats",
    "validation_loss": "mean loss of the held-out fold's texts, in nats",
    "train_window_accuracy": "share of training windows classified correctly, with dropout",
    "validation_accuracy": "share of the held-out fold's texts classified correctly",
    "validation_macro_f1": "macro-F1 on the held-out fold's texts",
    "gradient_norm_mean": "mean norm of the gradients before clipping",
    "gradient_norm_max": "largest norm of the gradients before clipping",
    "clipped_share": "share of the steps whose gradient was clipped",
    "learning_rate": "learning rate at the epoch's last step",
    "tokens_per_second": "tokens trained on per second, without validation",
    "seconds": "seconds of the epoch, with validation",
    "precision": "number format of the steps",
    "layer": "recurrent layer, from 1",
    "direction": "forward or backward",
    "state": "h, or c of an LSTM",
    "distance": "steps between the state and the one that the loss depends on",
    "windows": "number of windows at least this long",
    "norm": "mean norm of the gradient over the windows",
    "smallest": "smallest norm of a window",
    "largest": "largest norm of a window",
}
"""The meaning of a column, by its name, in every table but those of `OTHERS`."""

OTHERS = {
    ("vocabulary", "text"): "the token as text; empty if its bytes are not whole characters",
    ("cleaning", "dropped", "text"): "the text as extracted",
    ("evaluation", "label"): "the true label",
}
"""The meaning where it differs: by stage and column, or by stage, table and column."""

SUMMARIES = {
    "cleaning": {
        "grouped": "texts in groups of near duplicates",
        "conflicting_labels": "texts under more than one label",
        "conflicts": "under more than one label",
        "exact_duplicate": "exact duplicates",
        "near_duplicate": "near duplicates",
    },
    "splitting": {"moved": "texts that changed their split"},
    "vocabulary": {"used": "tokens in use", "training_tokens": "tokens in the training texts"},
    "training": {"texts": "texts of the sample that it learned from"},
    "stacking": {
        "weights": "weights of the members",
        "accuracy": "accuracy out of fold",
        "macro_f1": "macro-F1 out of fold",
        "log_loss": "log-loss out of fold, nats",
    },
    "evaluation": {
        "accuracy": "accuracy on the test split",
        "macro_f1": "macro-F1 on the test split",
        "baselines": "accuracy of the baselines",
        "doubtful_labels": "labels worth a second look",
    },
    "promotion": {
        "documents": "documents compared",
        "candidate": "score of the new model",
        "rival": "score that it must beat",
        "gain_interval": "interval of the gain",
        "confidence": "confidence that it is better",
        "new_labels": "documents of labels that the champion does not know",
        "test_documents": "documents of the test split",
    },
    "drift": {"new_documents": "texts that the champion’s corpus lacks", **FIGURES},
}
"""The names of a summary's figures, by stage."""

PATTERNS = {
    "probability_": "probability of this label; those of a row sum to one",
    "log_probability_": "logarithm of the probability of this label",
}
"""Beginnings of columns whose names end with a label."""


def meaning(stage: str, table: str, column: str) -> str:
    """What a column means; empty if nothing is known."""
    for key in ((stage, table, column), (stage, column)):
        if key in OTHERS:
            return OTHERS[key]
    if column in COLUMNS:
        return COLUMNS[column]
    if table == "baselines.parquet":
        return "label by this baseline"
    return next((words for start, words in PATTERNS.items() if column.startswith(start)), "")


def figure(stage: str, key: str) -> str:
    """The name of a figure in a stage's summary; a key without one is spelled out."""
    known = SUMMARIES.get(stage, {}).get(key)
    if known is not None:
        return known
    member, _, measure = key.rpartition("out_of_fold_")
    words = f"{measure} out of fold" + (f", {member.rstrip('_')}" if member else "") if _ else key
    return words.replace("macro_f1", "macro-F1").replace("log_loss", "log-loss").replace("_", " ")
