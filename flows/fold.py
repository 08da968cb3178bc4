"""One fold of a cross-validation: the stages of a retraining, with the fold as the test split.

`python -m flows.fold` runs it in a process of its own: it reads a FoldSpec as one line of JSON from standard input, and
writes a FoldResult as JSON, or the message of an error, to standard output.
"""

from __future__ import annotations

import logging
import sys

from prefect import flow

from flows.ops.ending import end
from flows.ops.environment import deliver_to_server
from flows.ops.log_lines import configure_logging
from flows.pipeline.runs import open_run, read_metrics
from flows.steps.fold_spec import FoldResult, FoldSpec
from tasks.evaluation.task import evaluate
from tasks.linear.task import fit_linear
from tasks.shared.child_process import end_with_parent
from tasks.shared.errors import CorpusflowError
from tasks.splitting.task import split
from tasks.stacking.task import stack
from tasks.tokenization.task import tokenize
from tasks.training.task import train
from tasks.vocabulary.task import learn_vocabulary

SECONDS_TO_END = 10
"""How long a fold that is stopped may take to clean up."""


@flow(name="fold", flow_run_name="repeat {spec.repeat}, fold {spec.fold}", persist_result=False)
def run_fold(spec: FoldSpec) -> FoldResult:
    """Trains and evaluates on one fold; the `latest` links do not change."""
    cleaned = spec.cleaned
    with open_run("fold", spec.config, spec.settings(), latest=False) as run:
        splits = run(split, cleaned=cleaned)
        vocabulary = run(learn_vocabulary, cleaned=cleaned, splits=splits)
        tokens = run(tokenize, cleaned=cleaned, splits=splits, vocabulary=vocabulary)
        linear = run(fit_linear, cleaned=cleaned, splits=splits)
        training = run(train, cleaned=cleaned, splits=splits, tokens=tokens, vocabulary=vocabulary)
        model = run(stack, linear=linear, training=training)
        status = run.record.stages[-1].status
        report = run(evaluate, cleaned=cleaned, splits=splits, linear=linear, training=training, model=model)
        run.record.metrics = metrics = read_metrics(run.store.locate(report))
    return FoldResult(
        repeat=spec.repeat,
        fold=spec.fold,
        seed=spec.seed,
        run=run.record.id,
        status=status,
        seconds=linear.seconds + training.seconds + model.seconds,
        documents=report.rows,
        accuracy=metrics["accuracy"],
        macro_f1=metrics["macro_f1"],
        report=str(run.store.locate(report)),
    )


def main() -> None:
    """Runs the fold that standard input describes; stops when standard input closes."""
    configure_logging()
    for handler in logging.getLogger("corpusflow").handlers:
        handler.setLevel(logging.WARNING)  # the lines of several folds at once would mix
    line = sys.stdin.readline()
    if not line:  # stopped before it began
        sys.exit(130)
    spec = FoldSpec.model_validate_json(line)
    code = 0
    try:
        end_with_parent(code=130, grace=SECONDS_TO_END)
        with deliver_to_server():
            sys.stdout.write(run_fold(spec).model_dump_json())
    except CorpusflowError as error:
        sys.stdout.write(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        sys.exit(130)
    end(code)


if __name__ == "__main__":
    main()
