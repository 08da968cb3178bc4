"""Text files in one subfolder per label (the layout of scikit-learn's `load_files`).

Files and folders whose name begins with a dot are ignored. What systems and editors leave behind (Thumbs.db, a.txt~) is
left out and named. Everything else must be a readable text file, directly in its label's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.extraction.document import Document
from tasks.extraction.text_files import digest_files, is_system_file, read_text, unreadable, warn_of
from tasks.shared.errors import CorpusError


def text_files(folder: Path) -> list[tuple[str, Path]]:
    """(doc_id, file) of every text, sorted by doc_id, which is `label/name`.

    Raises CorpusError for a missing or empty folder, a file outside the labels' folders, anything that is not a file,
    and a link to a place outside `folder`.
    """
    return _look_through(folder).texts


class _Found(NamedTuple):
    texts: list[tuple[str, Path]]
    left_out: list[str]
    empty: list[str]


def _look_through(folder: Path) -> _Found:
    if not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder; set extraction.folder.path to one with a subfolder per label")
    root, found = folder.resolve(), _Found([], [], [])
    for label in _visible(folder, found.left_out):
        _require_inside(label, root)
        if not label.is_dir():
            raise CorpusError(f"{label}: lies outside the labels' subfolders; move it into one, or out of {folder}")
        files = _visible(label, found.left_out, f"{label.name}/")
        for file in files:
            _require_inside(file, root)
            if not file.is_file():
                raise CorpusError(f"{file}: {_kind(file)}, not a text file; put texts directly into {label}")
            found.texts.append((f"{label.name}/{file.name}", file))
        if not files:
            found.empty.append(label.name)
    if not found.texts:
        raise CorpusError(f"{folder}: no text file found; expected files like {folder / 'LABEL' / 'NAME.txt'}")
    found.texts.sort()
    return found


def documents(folder: Path, encoding: str = "utf-8") -> Iterator[Document]:
    """The texts in the order of their ids; the label is the subfolder's name. One text is in memory at a time.

    Warns of labels without texts, and of files that were left out.
    """
    found = _look_through(folder)
    warn_of("extraction", f"left out {len(found.left_out):,} files of systems and editors", found.left_out)
    warn_of("extraction", f"{len(found.empty):,} label folders without a text, so without a label", found.empty)
    for doc_id, file in found.texts:
        yield Document(doc_id, file.parent.name, doc_id, read_text(file, encoding))


def digest(folder: Path) -> str:
    """sha256 over the names (relative to `folder`) and the contents of all text files."""
    return digest_files(text_files(folder))


def _visible(folder: Path, left_out: list[str], prefix: str = "") -> list[Path]:
    """What lies in a folder, without hidden entries and those of systems and editors, which go into `left_out`."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        try:
            entry.name.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(f"{folder}: the name {entry.name!r} is not UTF-8; rename it") from error
    left_out += [prefix + entry.name for entry in entries if is_system_file(entry.name)]
    return [entry for entry in entries if not is_system_file(entry.name)]


def _require_inside(path: Path, root: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        raise CorpusError(f"{path}: broken link ({error}); remove it") from error
    if not target.is_relative_to(root):
        raise CorpusError(f"{path}: link to {target}, outside {root}; copy the text into the folder")


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "a device or a pipe"
