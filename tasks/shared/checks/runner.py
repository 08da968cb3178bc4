"""Runs a stage's contract with Great Expectations: the schema first, then the expectations, batch by batch.

Importing Great Expectations takes seconds, so this module is imported only when a check really runs.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import

import great_expectations as gx
import pyarrow as pa
from great_expectations.data_context.types.base import ProgressBarsConfig

from tasks.shared.checks.report import Expected
from tasks.shared.parquet import compare_schema

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

    from tasks.shared.checks.batch import CheckBatch
    from tasks.shared.section import Section

EXAMPLES = 5


def run_contract(
    contract: ModuleType,
    artifact: Path,
    inputs: Mapping[str, Path],
    settings: Section,
    limits: Section,
) -> list[Expected]:
    """Judges an artifact.

    If a schema differs, no other expectation runs: those on missing columns would be meaningless.
    """
    schema = list(_check_schemas(artifact, contract.SCHEMAS))
    if any(not result.success for result in schema):
        return schema
    results = schema
    for batch, outcome in _validate(contract.batches(artifact, inputs, settings, limits)):
        results.extend(_summarise(batch, outcome))
    return results


def _validate(batches: Iterable[CheckBatch]) -> Iterator[tuple[CheckBatch, ExpectationSuiteValidationResult]]:
    # It announces its temporary folders, at a level that it sets itself.
    logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    definition = (
        context.data_sources.add_pandas("artifact")
        .add_dataframe_asset("batch")
        .add_batch_definition_whole_dataframe("all")
    )
    for batch in batches:
        suite = gx.ExpectationSuite(name=batch.name, expectations=list(batch.expectations))
        form: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES}
        if batch.key is not None:
            form |= {"result_format": "COMPLETE", "unexpected_index_column_names": [batch.key]}
        yield batch, definition.get_batch({"dataframe": batch.frame}).validate(suite, result_format=form)


def _summarise(batch: CheckBatch, outcome: ExpectationSuiteValidationResult) -> Iterator[Expected]:
    for result in outcome.to_json_dict()["results"]:
        config, observed = result["expectation_config"], result["result"]
        arguments = {k: v for k, v in config["kwargs"].items() if k != "batch_id"}
        error = result["exception_info"].get("exception_message")
        value = _aggregate(batch, arguments)
        yield Expected(
            batch=batch.name,
            expectation=config["type"],
            arguments=json.loads(json.dumps(arguments, default=str)),
            reason=_text(config.get("notes")),
            severity=str(config.get("severity", "critical")),
            success=bool(result["success"]),
            observed=_observed(observed, value) if error is None else f"could not be evaluated: {error}",
            range=None if value is not None else _range(batch, arguments),
            examples=(observed.get("unexpected_index_list") or observed.get("partial_unexpected_list") or [])[
                :EXAMPLES
            ],
        )


def _observed(result: Mapping[str, Any], value: Any) -> Any:
    if "observed_value" in result:
        return result["observed_value"]
    if value is not None:
        return value
    return f"{result.get('unexpected_count', 0)} of {result.get('element_count', 0)} rows"


def _aggregate(batch: CheckBatch, arguments: Mapping[str, Any]) -> Any:
    """The value in a batch of one row, which says more than the number of rows; None for other batches."""
    name = arguments.get("column", arguments.get("column_A"))
    if len(batch.frame) != 1 or batch.key is not None or name not in batch.frame:
        return None
    return json.loads(batch.frame[name].to_json(orient="values"))[0]


def _range(batch: CheckBatch, arguments: Mapping[str, Any]) -> tuple[float, float] | None:
    """Smallest and largest value of a numeric column whose values are limited."""
    if not arguments.keys() & {"min_value", "max_value"} or "column" not in arguments:
        return None
    values = batch.frame[arguments["column"]].dropna()
    if values.empty or values.dtype.kind not in "iuf":
        return None
    low, high = float(values.min()), float(values.max())
    return (low, high) if isfinite(low) and isfinite(high) else None


def _text(notes: object) -> str:
    return " ".join(notes) if isinstance(notes, list) else str(notes or "")


def _check_schemas(artifact: Path, schemas: Mapping[str, pa.Schema | tuple[pa.Schema, ...]]) -> Iterator[Expected]:
    for name, allowed in schemas.items():
        place = artifact / name
        files = sorted(place.glob("part-*.parquet")) if place.is_dir() else [place]
        for file in files or [place]:
            choices = allowed if isinstance(allowed, tuple) else (allowed,)
            differences, schema = min(
                ((_schema_differences(file, each), each) for each in choices), key=lambda c: len(c[0])
            )
            yield Expected(
                batch=name,
                expectation="schema",
                arguments={"columns": {field.name: str(field.type) for field in schema}},
                reason="the next stage reads these columns with these types",
                severity="critical",
                success=not differences,
                observed="; ".join(differences) or "as written in the contract",
                examples=[],
            )


def _schema_differences(file: Path, schema: pa.Schema) -> list[str]:
    columns = compare_schema(file, schema)
    return [f"{name}: {written}, expected {expected}" for name, expected, written in columns if written != expected]
