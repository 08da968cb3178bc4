"""The gradient profiles of a training, one Parquet file per epoch next to the checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from tasks.shared.errors import ArtifactError
from tasks.training.loop.gradient_flow import profile_documents

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments


class GradientRecord:
    """Profiles of a model with recurrent layers `cells` over an `embedding`, on windows of the training split.

    A checkpoint's epoch has its file if `add` was called before the checkpoint was saved.
    """

    def __init__(
        self,
        model: nn.Module,
        training: TokenizedDocuments,
        window: int,
        device: torch.device,
        folder: Path,
        schema: pa.Schema,
    ) -> None:
        self.model, self.training, self.window, self.device = model, training, window, device
        self.folder, self.schema = folder, schema

    def add(self, epoch: int) -> None:
        """Profiles the model as it is now."""
        chunk = next(self.training.chunks())
        cells, embedding = self.model.get_submodule("cells"), self.model.get_submodule("embedding")
        rows = profile_documents(cells.children(), embedding, chunk.ids, chunk.offsets, self.window, self.device)
        table = pa.Table.from_pylist([{"epoch": epoch, **row} for row in rows], schema=self.schema)
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, self._file(epoch))

    def table(self, epochs: Iterable[int]) -> pa.Table:
        """The profiles after these epochs. Raises ArtifactError for a file that is missing or damaged."""
        tables = []
        for path in map(self._file, epochs):
            try:
                tables.append(pq.read_table(path, schema=self.schema))
            except (OSError, pa.ArrowException) as error:
                raise ArtifactError(f"{path}: not readable ({error}); delete its folder to train again") from error
        return pa.concat_tables(tables)

    def _file(self, epoch: int) -> Path:
        return self.folder / f"gradients-{epoch:05d}.parquet"
