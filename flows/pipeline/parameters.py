"""The types of the flows' parameters: what Prefect's UI makes a form of, and what its server refuses."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from flows.pipeline.settings import Pipeline


def overrides_schema() -> dict[str, Any]:
    """pipeline.yaml as one JSON schema without references, in which nothing is required and nothing has a default.

    A default would appear in the UI's form as if it were given, and go before what the file says.
    """
    schema = Pipeline.model_json_schema()
    definitions = schema.pop("$defs")

    def in_one_piece(node: Any) -> Any:
        if isinstance(node, list):
            return [in_one_piece(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            node = definitions[node["$ref"].rpartition("/")[2]] | node
        return {key: in_one_piece(value) for key, value in node.items() if key not in {"$ref", "default", "required"}}

    return {**in_one_piece(schema), "title": "Overrides"}


Config = Annotated[str, Field(min_length=1)]
Overrides = Annotated[dict[str, Any], WithJsonSchema(overrides_schema())]
