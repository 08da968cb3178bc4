"""Looks into an artifact: columns, counts, lengths, sample rows, and how its check went."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.shared.artifacts import Artifact, Store
from tasks.shared.build import check_results

QUANTILES = {"min": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1.0}
COUNTED = ("label", "split", "reason", "predicted")
EXCERPT = 160

Decode = Callable[[list[int]], str]


def inspect_artifact(store: Store, artifact: Artifact, rows: int) -> dict[str, Any]:
    """Everything that `corpusflow inspect` shows, as plain values."""
    path = store.locate(artifact)
    decode = _decoder(store, artifact)
    checks = check_results(store, artifact.stage, artifact.fingerprint)
    return {
        "stage": artifact.stage,
        "path": str(path),
        "rows": artifact.rows,
        "bytes": artifact.bytes,
        "created": artifact.created,
        "settings": artifact.recipe.settings,
        "summary": artifact.summary,
        "files": {name: record.bytes for name, record in artifact.files.items()},
        "datasets": {name: _dataset(files, rows, decode) for name, files in _datasets(path)},
        "checks": json.loads(checks.read_text(encoding="utf-8"))["results"] if checks.exists() else None,
    }


def _datasets(path: Path) -> Iterator[tuple[str, list[Path]]]:
    """Parts of one folder are one dataset; a Parquet file on its own is one too."""
    for folder in sorted({file.parent for file in path.rglob("part-*.parquet")}):
        yield folder.relative_to(path).as_posix(), sorted(folder.glob("part-*.parquet"))
    for file in sorted(path.glob("*.parquet")):
        yield file.name, [file]


def _dataset(files: list[Path], rows: int, decode: Decode | None) -> dict[str, Any]:
    schema = pq.read_schema(files[0])
    table = pa.concat_tables(pq.read_table(file, columns=_small(schema), partitioning=None) for file in files)
    sample = pq.ParquetFile(files[0]).schema_arrow.empty_table().to_pylist()
    if rows:
        head = next(pq.ParquetFile(files[0]).iter_batches(batch_size=rows), None)
        sample = head.to_pylist() if head is not None else []
    return {
        "rows": table.num_rows,
        "schema": {field.name: str(field.type) for field in schema},
        "counts": {name: _counts(table[name]) for name in COUNTED if name in schema.names},
        "lengths": {name: _quantiles(lengths) for name, lengths in _lengths(files, schema)},
        "sample": [{name: _show(value, decode) for name, value in row.items()} for row in sample],
    }


def _small(schema: pa.Schema) -> list[str]:
    return [name for name in COUNTED if name in schema.names] or schema.names[:1]


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    found = {str(entry["values"]): int(entry["counts"]) for entry in pc.value_counts(column).to_pylist()}
    return dict(sorted(found.items()))


def _lengths(files: list[Path], schema: pa.Schema) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Characters of texts and items of lists, part by part."""
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


def _show(value: Any, decode: Decode | None) -> Any:
    if isinstance(value, list):
        value = decode(value[:EXCERPT]) if decode else str(value[:20])
    if isinstance(value, bytes):
        value = value.hex()
    if isinstance(value, str) and len(value) > EXCERPT:
        value = f"{value[:EXCERPT]}…"
    return value.replace("\n", "⏎") if isinstance(value, str) else value


def _decoder(store: Store, artifact: Artifact) -> Decode | None:
    """Turns token ids back into text, with the vocabulary that the artifact was made with."""
    made_with = artifact.lineage.get("vocabulary")
    if artifact.stage != "tokenization" or made_with is None:
        return None
    from tasks.tokenization.encode import Encoder

    return Encoder.from_file(store.place("04_vocabulary", made_with["fingerprint"]) / "tokenizer.json").decode
