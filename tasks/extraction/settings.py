"""The extraction section of pipeline.yaml: where the labelled texts come from."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.shared.section import LocalPath, Section


def _known_encoding(name: str) -> str:
    try:
        "a".encode(name)  # refuses codecs that are not for text
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"{name!r} is no text encoding that Python knows; try utf-8, cp1252 or latin-1") from error
    return codecs.lookup(name).name


class _Located(Section):
    """A source that must be told where its texts lie. Their content, not the place, goes into the fingerprint."""

    path: LocalPath | None = None

    def shaping(self) -> dict[str, Any]:
        """All values but the path."""
        return {name: value for name, value in super().shaping().items() if name != "path"}


class BrownSource(Section):
    """The Brown Corpus. `NLTK_DATA` is searched first, then these two; a download goes to the first of them."""

    nltk_data: LocalPath = Field(
        Path("data/nltk_data"), validate_default=True, description="NLTK data folder that a download is put into"
    )
    shared_nltk_data: LocalPath = Field(
        Path("../shared/nltk_data"), validate_default=True, description="NLTK data folder shared between checkouts"
    )


class FolderSource(_Located):
    """Text files in one subfolder per label (the layout of scikit-learn's `load_files`)."""

    path: LocalPath | None = Field(None, description="folder with one subfolder per label")
    encoding: Annotated[str, AfterValidator(_known_encoding)] = Field("utf-8", description="encoding of every file")


class TableSource(_Located):
    """A Parquet, CSV or JSON Lines file, or a folder of Parquet parts."""

    path: LocalPath | None = Field(None, description=".parquet, .csv, .jsonl or .ndjson file, or folder of .parquet")
    text_column: str = Field("text", min_length=1, description="column with the text")
    label_column: str = Field("label", min_length=1, description="column with the label")
    doc_id_column: str | None = Field(
        None, min_length=1, description="column with a unique name of the text; null: made from a hash of the text"
    )

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        columns = [self.text_column, self.label_column, self.doc_id_column]
        if len(set(columns)) < len(columns):
            raise ValueError(f"text_column, label_column and doc_id_column must differ, not {columns}")
        return self


class ExtractionSettings(Section):
    """Which source, and a sub-section for each; those of the sources not chosen have no effect."""

    source: Literal["brown", "folder", "table"] = Field("brown", description="where the labelled texts come from")
    brown: BrownSource = Field(BrownSource(), description="used by source: brown")
    folder: FolderSource = Field(FolderSource(), description="used by source: folder")
    table: TableSource = Field(TableSource(), description="used by source: table")

    @model_validator(mode="before")
    @classmethod
    def _places_of_brown(cls, values: Any) -> Any:
        # A default made beforehand would not know which folder its paths are relative to.
        return {"brown": {}, **values} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _source_has_a_path(self) -> Self:
        if (self.source == "folder" and self.folder.path is None) or (
            self.source == "table" and self.table.path is None
        ):
            raise ValueError(f"source: {self.source} needs {self.source}.path; set extraction.{self.source}.path")
        return self

    def shaping(self) -> dict[str, Any]:
        """The source and its own values; what is written for the other sources changes nothing."""
        return {"source": self.source, self.source: getattr(self, self.source).shaping()}


class ExtractionLimits(Section):
    """What must hold of the extracted documents for the run to go on."""

    documents: int | None = Field(
        None, ge=1, description="exact number of documents; null: 500 for source brown, any number for the others"
    )
    labels: int | None = Field(
        None, ge=1, description="exact number of labels; null: 15 for source brown, any number for the others"
    )
    min_documents: int = Field(3, ge=1, description="fewest documents: one each to train, to validate and to test")
    min_labels: int = Field(2, ge=1, description="fewest labels: with one there is nothing to tell apart")
    max_characters: int = Field(10_000_000, ge=1, description="longest text, in characters; a longer one is a mistake")
