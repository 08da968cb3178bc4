"""Features of the labelled texts as files: counted once, and read by every fit, in whatever process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from tasks.linear.fit import Features
from tasks.linear.schema import TERMS
from tasks.shared.arrays import save_array
from tasks.shared.statistics.metrics import Ints

VALUES = ("data", "indices", "indptr")


def write_features(folder: Path, features: Features) -> None:
    """Writes them into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in VALUES:
        save_array(folder / f"{name}.npy", getattr(features.values, name))
    save_array(folder / "idf.npy", features.idf)
    pq.write_table(pa.table({"term": pa.array(features.terms, pa.string())}), folder / TERMS)


def read_values(folder: Path) -> csr_array:
    """TF-IDF [texts, terms]; pages of the files come into memory as they are read, and leave it when it is short."""
    data, indices, indptr = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in VALUES)
    terms = np.load(folder / "idf.npy", mmap_mode="r", allow_pickle=False).shape[0]
    return csr_array((data, indices, indptr), shape=(len(indptr) - 1, terms))


def read_terms(folder: Path) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """The terms, and their inverse document frequencies."""
    with pq.ParquetFile(folder / TERMS) as file:
        return file.read()["term"].to_pylist(), np.load(folder / "idf.npy", allow_pickle=False)


def write_labels(folder: Path, labels: Ints, folds: Ints, positions: Ints) -> None:
    """Writes class id, fold and position among all texts of each text learned from, [texts] all three."""
    folder.mkdir(parents=True, exist_ok=True)
    save_array(folder / "labels.npy", np.stack([labels, folds, positions]))


def read_labels(folder: Path) -> tuple[Ints, Ints]:
    """Class ids and folds that `write_labels` has written."""
    labels, folds, _ = np.load(folder / "labels.npy", allow_pickle=False)
    return labels, folds


def read_positions(folder: Path) -> Ints:
    """The positions that `write_labels` has written."""
    return np.asarray(np.load(folder / "labels.npy", allow_pickle=False)[2])
