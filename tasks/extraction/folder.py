"""Text files in one subfolder per label (the layout of scikit-learn's `load_files`).

Files and folders whose name begins with a dot are ignored. Everything else must be a readable text file, directly in
its label's folder; nothing else is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.extraction.document import Document
from tasks.extraction.text_files import digest_files, read_text, unreadable
from tasks.shared.errors import CorpusError


def text_files(folder: Path) -> list[tuple[str, Path]]:
    """(doc_id, file) of every text, sorted by doc_id, which is `label/name`.

    Raises CorpusError for a missing or empty folder, a file outside the labels' folders, anything that is not a file,
    and a link to a place outside `folder`.
    """
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; set extraction.folder.path to one with a subfolder per label")
    root = folder.resolve()
    files = []
    for label in _visible(folder):
        _require_inside(label, root)
        if not label.is_dir():
            raise CorpusError(f"{label}: lies outside the labels' subfolders; move it into one, or out of {folder}")
        for file in _visible(label):
            _require_inside(file, root)
            if not file.is_file():
                raise CorpusError(f"{file}: {_kind(file)}, not a text file; put texts directly into {label}")
            files.append((f"{label.name}/{file.name}", file))
    if not files:
        raise CorpusError(f"{folder}: no text file found; expected files like {folder / 'LABEL' / 'NAME.txt'}")
    return sorted(files)


def documents(folder: Path, encoding: str = "utf-8") -> Iterator[Document]:
    """The texts in the order of their ids; the label is the subfolder's name. One text is in memory at a time."""
    for doc_id, file in text_files(folder):
        yield Document(doc_id, file.parent.name, doc_id, read_text(file, encoding))


def digest(folder: Path) -> str:
    """sha256 over the names (relative to `folder`) and the contents of all text files."""
    return digest_files(text_files(folder))


def _visible(folder: Path) -> list[Path]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        try:
            entry.name.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(f"{folder}: the name {entry.name!r} is not UTF-8; rename it") from error
    return entries


def _require_inside(path: Path, root: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        raise CorpusError(f"{path}: broken link ({error}); remove it") from error
    if not target.is_relative_to(root):
        raise CorpusError(f"{path}: link to {target}, outside {root}; copy the text into the folder")


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "a device or a pipe"
