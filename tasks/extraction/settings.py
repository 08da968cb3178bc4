"""The extraction section of pipeline.yaml: where the labelled texts come from."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.shared.section import LocalPath, Section, SourcePath


def known_encoding(name: str) -> str:
    """Python's name of an encoding. Raises ValueError if it has none that is for text."""
    try:
        "a".encode(name)  # refuses codecs that are not for text
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"{name!r} is not a text encoding that Python knows; try utf-8, cp1252 or latin-1") from error
    return codecs.lookup(name).name


class _SourceWithPath(Section):
    """A source whose path must be set. The content of the files, not their path, goes into the fingerprint."""

    path: SourcePath | None = None

    def cache_values(self) -> dict[str, Any]:
        """All values except the path."""
        return {name: value for name, value in super().cache_values().items() if name != "path"}


class BrownSource(Section):
    """The Brown Corpus. `NLTK_DATA` is searched first, then these two; a download goes to the first of them."""

    nltk_data: LocalPath = Field(
        Path("data/nltk_data"), validate_default=True, description="NLTK data folder that a download is put into"
    )
    shared_nltk_data: LocalPath = Field(
        Path("../shared/nltk_data"), validate_default=True, description="NLTK data folder shared between checkouts"
    )


class FolderSource(_SourceWithPath):
    """Text files in one subfolder per label (the layout of scikit-learn's `load_files`)."""

    path: SourcePath | None = Field(None, description="folder with one subfolder per label, or its URL")
    encoding: Annotated[str, AfterValidator(known_encoding)] = Field("utf-8", description="encoding of every file")


def known_separator(value: str) -> str:
    """One ASCII character; "tab" stands for a tab. Raises ValueError for anything else."""
    separator = "\t" if value in ("tab", "\\t") else value
    if len(separator) != 1 or not separator.isascii() or separator in '"\r\n\0':
        raise ValueError(f"{value!r} is not one ASCII character; give ',', ';', '|' or tab")
    return separator


class TableSource(_SourceWithPath):
    """A Parquet, CSV, TSV or JSON Lines file, all but Parquet also as .gz, or a folder of Parquet parts."""

    path: SourcePath | None = Field(
        None,
        description=".parquet, .csv, .tsv, .jsonl or .ndjson file (also .csv.gz, …), or folder of .parquet, or its URL",
    )
    encoding: Annotated[str, AfterValidator(known_encoding)] = Field(
        "utf-8", description="encoding of CSV, TSV and JSON Lines"
    )
    separator: Annotated[str, AfterValidator(known_separator)] | None = Field(
        None, description="character between the columns of a CSV, or tab; null: a comma, in .tsv a tab"
    )
    text_column: str = Field("text", min_length=1, description="column with the text")
    label_column: str = Field("label", min_length=1, description="column with the label")
    doc_id_column: str | None = Field(
        None, min_length=1, description="column with a unique id; null: ids are hashes of the texts"
    )

    split_column: str | None = Field(
        None,
        min_length=1,
        description="column with the split of each row: train, validation (drawn from train if no row has it) or test; "
        "null: the pipeline splits",
    )

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        given = (self.text_column, self.label_column, self.doc_id_column, self.split_column)
        columns = [name for name in given if name is not None]
        if len(set(columns)) < len(columns):
            raise ValueError(f"text_column, label_column, doc_id_column and split_column must differ, not {columns}")
        return self


class ExtractionSettings(Section):
    """The source of the texts, and a section for each kind; only the section of the chosen source is used."""

    source: Literal["brown", "folder", "table"] = Field("brown", description="where the labelled texts come from")
    brown: BrownSource = Field(BrownSource(), description="used by source: brown")
    folder: FolderSource = Field(FolderSource(), description="used by source: folder")
    table: TableSource = Field(TableSource(), description="used by source: table")

    @model_validator(mode="before")
    @classmethod
    def _paths_of_brown(cls, values: Any) -> Any:
        # A default instance would not know the folder that its paths are relative to.
        return {"brown": {}, **values} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _source_has_a_path(self) -> Self:
        if (self.source == "folder" and self.folder.path is None) or (
            self.source == "table" and self.table.path is None
        ):
            raise ValueError(f"source: {self.source} needs {self.source}.path; set extraction.{self.source}.path")
        return self

    def cache_values(self) -> dict[str, Any]:
        """The source and its own values; those of the other sources have no effect."""
        return {"source": self.source, self.source: getattr(self, self.source).cache_values()}


class ExtractionLimits(Section):
    """What the check of the extracted documents tolerates."""

    documents: int | None = Field(
        None, ge=1, description="exact number of documents; null: 500 for source brown, any number for the others"
    )
    labels: int | None = Field(
        None, ge=1, description="exact number of labels; null: 15 for source brown, any number for the others"
    )
    min_documents: int = Field(3, ge=1, description="fewest documents: one for each split")
    min_labels: int = Field(2, ge=1, description="fewest labels; a classifier needs two")
    max_characters: int = Field(10_000_000, ge=1, description="longest text, in characters")
