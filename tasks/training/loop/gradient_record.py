"""How far gradients reach after the epochs of a training, kept in files of their own beside its checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from tasks.shared.errors import ArtifactError
from tasks.training.loop.gradient_flow import flow_in_texts

if TYPE_CHECKING:
    from tasks.tokenization.store import TokenizedDocuments


class GradientRecord:
    """Of a model with recurrent layers `cells` over an `embedding`, on windows of the training part.

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
        """Follows the gradients through the model as it is now."""
        chunk = next(self.training.chunks())
        rows = flow_in_texts(
            self.model.get_submodule("cells").children(),
            self.model.get_submodule("embedding"),
            chunk.ids,
            chunk.offsets,
            self.window,
            self.device,
        )
        table = pa.Table.from_pylist([{"epoch": epoch, **row} for row in rows], schema=self.schema)
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, self._file(epoch))

    def table(self, epochs: Iterable[int]) -> pa.Table:
        """What was found after these epochs. Raises ArtifactError for a file that is missing or damaged."""
        tables = []
        for path in map(self._file, epochs):
            try:
                tables.append(pq.read_table(path, schema=self.schema))
            except (OSError, pa.ArrowException) as error:
                raise ArtifactError(f"{path}: not readable ({error}); delete its folder to train anew") from error
        return pa.concat_tables(tables)

    def _file(self, epoch: int) -> Path:
        return self.folder / f"gradients-{epoch:05d}.parquet"
