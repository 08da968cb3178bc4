"""Settings from the schema, valid and not: a file is accepted, and then runs, or is refused in one line."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.torture.lab import Lab, Trial
from benchmarks.torture.state import one_line
from benchmarks.torture.texts import TINY
from flows.pipeline.parameters import overrides_schema
from flows.pipeline.settings import load_settings
from tasks.shared.errors import SettingsError

LOADED, RUNS = 600, 16
LOAD = "settings generated from the schema: accepted, or refused in one line that names file and key"
RUN = "accepted settings: the run is done or ends in one line"
FIXED = {"name", "data", "extraction"}
COSTLY = {
    *("epochs", "hidden_size", "embedding_size", "num_layers", "processes", "batch_size", "window", "stride", "size"),
    *("bootstrap_samples", "permutations", "codebook_size", "device", "shuffle_tokens", "baselines", "gradient_flow"),
}
"""Settings that stay as they are in runs, which must take seconds."""
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "\0", "null", -1, 0, 1, 2**63, 1e308, -0.0, float("nan"), True, [], {}, [[]]]
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema allows, apart from rules between keys."""
    if "anyOf" in schema:
        return st.one_of([values(option) for option in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    makers: dict[str | None, Callable[[dict[str, Any]], st.SearchStrategy[Any]]] = {
        "object": mapping,
        "array": lambda inner: st.lists(values(inner.get("items", {})), max_size=3),
        "boolean": lambda _: st.booleans(),
        "integer": integers,
        "number": numbers,
        "null": lambda _: st.none(),
    }
    make = makers.get(schema.get("type"))
    return make(schema) if make else st.text(max_size=20)


def integers(schema: dict[str, Any]) -> st.SearchStrategy[int]:
    """Whole numbers within the bounds, or within some thousands."""
    least = schema.get("minimum", schema.get("exclusiveMinimum", -101) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", max(least, 0) + 1001) - 1)
    return st.integers(int(least), int(most))


def numbers(schema: dict[str, Any]) -> st.SearchStrategy[float]:
    """Numbers within the bounds, or within a million."""
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1e6))
    most = schema.get("maximum", schema.get("exclusiveMaximum", 1e6))
    excluded = {schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")}
    return st.floats(least, most, allow_nan=False).filter(lambda value: value not in excluded)


def mapping(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the keys of an object."""
    optional = {name: values(inner) for name, inner in schema.get("properties", {}).items()}
    return st.fixed_dictionaries({}, optional=optional)


def spoiled(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Allowed values, of which some are replaced by odd ones."""

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        made = draw(mapping(schema))
        for section in [made, *(inner for inner in made.values() if isinstance(inner, dict))]:
            for key in [*section, "unknown"]:
                if draw(st.integers(0, 9)) == 0:
                    section[key] = draw(ODD)
        return made

    return build()


def plan(lab: Lab, share: float) -> Iterator[Trial]:
    schema = overrides_schema()
    generated = examples(spoiled(schema), max(20, round(LOADED * share)), 0)
    for index, made in enumerate(generated):
        yield Trial(LOAD, f"{LOAD} {index}", partial(load, made))
    for index, made in enumerate(examples(mapping(cheap(schema)), max(2, round(RUNS * share)), 1)):
        yield Trial(RUN, f"{RUN} {index}", partial(run, lab, made))


def cheap(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without what would make a run long or read another corpus."""
    properties = {}
    for name, inner in schema["properties"].items():
        if name not in FIXED:
            kept = {key: value for key, value in inner.get("properties", {}).items() if key not in COSTLY}
            properties[name] = {**inner, "properties": kept}
    return {**schema, "properties": properties}


def examples(strategy: st.SearchStrategy[dict[str, Any]], count: int, number: int) -> list[dict[str, Any]]:
    """The first examples that hypothesis makes; the same ones each time."""
    found: list[dict[str, Any]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(strategy)
    def collect(made: dict[str, Any]) -> None:
        found.append(made)

    collect()
    return found[:count]


def load(made: dict[str, Any], folder: Path, _: random.Random) -> str | None:
    """Validates the file in this process."""
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(made, allow_unicode=True))
    try:
        load_settings(path)
    except SettingsError as error:
        message = str(error)
        if str(path) in message and "\n" not in message:
            return None
        return f"not one line that names the file: {message!r}"
    return None


def run(lab: Lab, made: dict[str, Any], folder: Path, _: random.Random) -> str | None:
    """A run with these settings beside the quick ones."""
    lab.reference_run().texts_to(folder)
    merged = {**made, **{name: {**made.get(name, {}), **quick} for name, quick in TINY.items() if name != "checks"}}
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(merged, allow_unicode=True))
    done = lab.launcher.run(folder, "run")
    wrong = one_line(done) if done.code != 0 else None
    return f"{wrong}; with {yaml.safe_dump(made, default_flow_style=True, width=10_000)}" if wrong else None
