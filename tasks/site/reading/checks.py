"""The results of checks for people: each expectation in words, and the rows that a failed one names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.shared.checks.report import CheckReport, Expected
from tasks.shared.checks.words import examples, in_words, merged
from tasks.shared.store.artifacts import Store
from tasks.shared.ui.preview import datasets
from tasks.site.reading.shelf import attempt
from tasks.site.reading.tables import rows_with

ORDER = {"stops": 0, "warns": 1, "holds": 2}
QUARANTINE_FILE = "quarantine.json"
KEYS = ("doc_id", "group", "label")
VALUES, ROWS = 8, 20


@dataclass(frozen=True)
class Line:
    """One expectation."""

    verdict: str
    batch: str
    column: str
    limit: str
    found: str
    reason: str
    examples: Sequence[str]


@dataclass(frozen=True)
class Verdicts:
    """The results of one check, failures first."""

    lines: Sequence[Line]

    def count(self, verdict: str) -> int:
        """The expectations with this verdict."""
        return sum(line.verdict == verdict for line in self.lines)


def read_verdicts(store: Store, stage: str, fingerprint: str) -> Verdicts | None:
    """The results of an artifact's check; None if there are none."""
    path = store.check_results(stage, fingerprint)
    if not path.exists():
        return None
    report = CheckReport.model_validate_json(path.read_bytes())
    return verdicts(report.results)


def verdicts(results: Sequence[Expected]) -> Verdicts:
    """The results in words, failures first."""
    return Verdicts(sorted((_line(result) for result in merged(results)), key=lambda line: ORDER[line.verdict]))


def _line(result: Expected) -> Line:
    shown = examples(result) if len(result.examples) > 1 or isinstance(result.observed, str) else []
    return Line(batch=result.batch, examples=shown, **in_words(result))


@dataclass(frozen=True)
class Failure:
    """Why an artifact is in quarantine: the failed expectations with the rows that they name, or its damage."""

    damage: str
    lines: Sequence[Line]
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


def read_failure(folder: Path) -> Failure:
    """What is known about a quarantined artifact."""
    why = json.loads((folder / QUARANTINE_FILE).read_text(encoding="utf-8"))
    failures = [Expected.model_validate(each) for each in why.get("failures", ())]
    rows = attempt(_named_rows, folder, failures).value or []
    return Failure(str(why.get("damage", "")), verdicts(failures).lines, list(rows[0])[:VALUES] if rows else (), rows)


def _named_rows(folder: Path, failures: Sequence[Expected]) -> list[dict[str, Any]]:
    """The rows of the first table that has the ids, groups or labels of the examples."""
    examples = [example for failure in failures for example in failure.examples if isinstance(example, Mapping)]
    for key in KEYS:
        values = [example[key] for example in examples if key in example]
        for _, files in datasets(folder) if values else ():
            found = attempt(rows_with, files, key, values, _columns(files))
            if found.value:
                return list(found.value[:ROWS])
    return []


def _columns(files: Sequence[Path]) -> list[str]:
    import pyarrow.parquet as pq

    return [name for name in pq.read_schema(files[0]).names if name not in {"digest", "token_ids"}][:VALUES]
