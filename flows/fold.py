"""One fold of a cross-validation: the stages of a retraining, with one fold as the test part.

`python -m flows.fold` runs it in a process of its own: the order comes as one line of JSON, the result leaves as JSON.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from prefect import flow

from flows.ops import environment
from flows.pipeline.runs import open_run, read_metrics
from flows.steps.fold_spec import FoldOrder, FoldResult
from tasks.evaluation.task import evaluate
from tasks.shared.engine.run import Run
from tasks.shared.errors import CorpusflowError
from tasks.splitting.task import split
from tasks.tokenization.task import tokenize
from tasks.training.history import read_history
from tasks.training.task import train
from tasks.vocabulary.task import learn_vocabulary

SECONDS_TO_END = 10
"""How long a fold that is stopped may take to clear up."""


@flow(name="fold", flow_run_name="repeat {order.repeat}, fold {order.fold}", persist_result=False)
def run_fold(order: FoldOrder) -> FoldResult:
    """Trains and evaluates on one fold; the `latest` links stay where they are."""
    cleaned = order.cleaned
    with open_run("fold", order.config, order.settings(), latest=False) as run:
        splits = run(split, cleaned=cleaned)
        vocabulary = run(learn_vocabulary, cleaned=cleaned, splits=splits)
        tokens = run(tokenize, cleaned=cleaned, splits=splits, vocabulary=vocabulary)
        model = run(train, tokens=tokens, vocabulary=vocabulary)
        status = run.record.stages[-1].status
        report = run(evaluate, cleaned=cleaned, splits=splits, tokens=tokens, model=model)
        run.record.metrics = metrics = read_metrics(run.store.locate(report))
        bag_report = None
        if order.pipeline().training.cell != "none":
            with_bag = Run(run.store, order.bag().sections, order.bag().limits, run.record, latest=False)
            its_vocabulary = with_bag(learn_vocabulary, cleaned=cleaned, splits=splits)
            its_tokens = with_bag(tokenize, cleaned=cleaned, splits=splits, vocabulary=its_vocabulary)
            bag = with_bag(train, tokens=its_tokens, vocabulary=its_vocabulary)
            bag_report = with_bag(evaluate, cleaned=cleaned, splits=splits, tokens=its_tokens, model=bag)
    return FoldResult(
        repeat=order.repeat,
        fold=order.fold,
        seed=order.seed,
        run=run.record.id,
        status=status,
        seconds=training_seconds(run.store.locate(model)),
        documents=report.rows,
        accuracy=metrics["accuracy"],
        macro_f1=metrics["macro_f1"],
        report=str(run.store.locate(report)),
        bag_of_embeddings=None if bag_report is None else str(run.store.locate(bag_report)),
    )


def training_seconds(model: Path) -> float:
    """What the epochs of a model took, and what came after them."""
    history = read_history(model)
    return float(np.nansum([history["seconds"], history["completion_seconds"]]))


def main() -> None:
    """Runs the fold that is ordered on standard input; when that closes, whoever ordered it is gone."""
    environment.speak_plainly()
    for handler in logging.getLogger("corpusflow").handlers:
        handler.setLevel(logging.WARNING)  # the lines of several folds at once would mix
    ordered = sys.stdin.readline()
    if not ordered:  # stopped before it began
        sys.exit(130)
    order = FoldOrder.model_validate_json(ordered)
    try:
        threading.Thread(target=_stop_when_the_input_closes, daemon=True).start()
        sys.stdout.write(run_fold(order).model_dump_json())
    except CorpusflowError as error:
        sys.stdout.write(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _stop_when_the_input_closes() -> None:
    os.read(0, 1)  # not through sys.stdin, whose lock would be missed at exit
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(SECONDS_TO_END)
    os._exit(130)  # the interruption was lost, or a library waits for what does not come


if __name__ == "__main__":
    main()
