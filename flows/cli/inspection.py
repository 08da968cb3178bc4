"""What an artifact contains: columns, counts, lengths and sample rows, and the results of its check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.pipeline.stages import STAGES
from tasks.shared.checks.report import CheckReport, Expected
from tasks.shared.checks.words import in_words, merged
from tasks.shared.store.artifacts import Artifact, Store
from tasks.shared.ui.preview import Decode, count_values, datasets, rows_of, sample_rows

QUANTILES = {"min": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1.0}
EXCERPT = 160


def inspect_artifact(store: Store, artifact: Artifact, rows: int) -> dict[str, Any]:
    """Everything that `corpusflow inspect` shows, as JSON values."""
    path = store.locate(artifact)
    decoder = getattr(STAGES[artifact.stage].show, "decoder", None)
    decode = decoder(store, artifact) if decoder else None
    checks = store.check_results(artifact.stage, artifact.fingerprint)
    report = CheckReport.model_validate_json(checks.read_bytes()) if checks.exists() else None
    return {
        "stage": artifact.stage,
        "path": str(path),
        "rows": artifact.rows,
        "bytes": artifact.bytes,
        "created": artifact.created,
        "settings": artifact.recipe.settings,
        "summary": artifact.summary,
        "files": {name: record.bytes for name, record in artifact.files.items()},
        "datasets": {name: _dataset(files, rows, decode) for name, files in datasets(path)},
        "checks": None if report is None else list(map(_expectation, merged(report.results))),
    }


def _expectation(result: Expected) -> dict[str, Any]:
    return {**result.model_dump(mode="json"), **in_words(result)}


def _dataset(files: list[Path], rows: int, decode: Decode | None) -> dict[str, Any]:
    schema = pq.read_schema(files[0])
    return {
        "rows": rows_of(files),
        "schema": {field.name: str(field.type) for field in schema},
        "counts": count_values(files),
        "lengths": {name: _quantiles(lengths) for name, lengths in _lengths(files, schema)},
        "sample": sample_rows(files, rows, EXCERPT, decode),
    }


def _lengths(files: list[Path], schema: pa.Schema) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Lengths of texts, in characters, and of lists, in items; reads one part at a time."""
    for name in schema.names:
        kind = schema.field(name).type
        measure = pc.utf8_length if name == "text" and pa.types.is_string(kind) else None
        measure = pc.list_value_length if pa.types.is_list(kind) else measure
        if measure is not None:
            batches = (b for file in files for b in pq.ParquetFile(file).iter_batches(columns=[name]))
            yield name, pa.chunked_array([measure(batch.column(0)) for batch in batches], type=pa.int32())


def _quantiles(lengths: pa.ChunkedArray) -> dict[str, float]:
    if not len(lengths):
        return {}
    values = pc.quantile(lengths, q=list(QUANTILES.values())).to_pylist()
    return dict(zip(QUANTILES, map(float, values), strict=True))
