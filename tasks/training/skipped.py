"""A training that is left out because the RNN was of no use: `training.when_useless: skip`.

The artifact then has no member, empty tables, and the verdict that it rests on: of an earlier model, on about as many
texts, whose stack the RNN did not join.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tasks.shared.errors import ArtifactError
from tasks.shared.files import write_text
from tasks.shared.out_of_fold import OUT_OF_FOLD
from tasks.training.schema import GRADIENTS, GRADIENTS_FILE, HISTORY, HISTORY_FILE, MEMBER, OUT_OF_FOLD_FILE

SKIPPED = "skipped.json"
MODEL_FILE = "model.json"
"""Of the model folder that the stacking stage leaves."""


@dataclass(frozen=True)
class Verdict:
    """What an earlier stack found about the RNN, out of fold."""

    documents: int
    """Labelled texts then."""
    gain: float | None
    """By which it lowered the log-loss, in nats; None if another member made it superfluous."""
    standard_error: float | None

    def sentence(self) -> str:
        """What was found, for logs and the report."""
        gain = "" if self.gain is None else f" (it lowered the log-loss by {self.gain:.4f} ± {self.standard_error:.4f})"
        return f"on {self.documents:,} labelled documents it did not join the stack{gain}"


def judged_useless(model: Path) -> Verdict | None:
    """The verdict of a model folder; None if the RNN joined there, or was not tried.

    Raises ArtifactError for a folder that is not a model.
    """
    try:
        values = json.loads((model / MODEL_FILE).read_text(encoding="utf-8"))
        if MEMBER in values["weights"] or MEMBER not in values["members"]:
            return None
        candidates = [some for some in values["candidates"] if some["member"] == MEMBER]
        gain, error = (candidates[0][key] for key in ("gain", "standard_error")) if candidates else (None, None)
        return Verdict(values["out_of_fold"]["documents"], gain, error)
    except (OSError, ValueError, LookupError, TypeError) as fault:
        raise ArtifactError(f"{model}: not a model ({fault!r}); set training.when_useless to keep") from fault


def write_skipped(out: Path, verdict: Verdict) -> None:
    """Writes the artifact of a training that is left out into an empty folder."""
    for name, schema in ((HISTORY_FILE, HISTORY), (GRADIENTS_FILE, GRADIENTS), (OUT_OF_FOLD_FILE, OUT_OF_FOLD)):
        pq.write_table(schema.empty_table(), out / name)
    write_text(out / SKIPPED, json.dumps(asdict(verdict), indent=1) + "\n")


def read_skipped(training: Path) -> Verdict | None:
    """The verdict for which a training was left out; None if the RNN was trained."""
    path = training / SKIPPED
    return Verdict(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None
