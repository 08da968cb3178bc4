"""The types of the flows' parameters: Prefect's UI builds its form from them, and its server validates with them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from flows.pipeline.settings import Pipeline


def overrides_schema() -> dict[str, Any]:
    """pipeline.yaml as one JSON schema without references, in which nothing is required and nothing has a default.

    The UI would send a default as if the user had given it, and it would override the file.
    """
    schema = Pipeline.model_json_schema()
    definitions = schema.pop("$defs")

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            node = definitions[node["$ref"].rpartition("/")[2]] | node
        return {key: inline(value) for key, value in node.items() if key not in {"$ref", "default", "required"}}

    return {**inline(schema), "title": "Overrides"}


Config = Annotated[str, Field(min_length=1)]
Overrides = Annotated[dict[str, Any], WithJsonSchema(overrides_schema())]
