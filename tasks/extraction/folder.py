"""Text files in one subfolder per label (the layout of scikit-learn's `load_files`).

Files and folders whose name begins with a dot are ignored. What systems and editors leave behind (Thumbs.db, a.txt~) is
left out and named. Everything else must be a readable text file, directly in its label's folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.extraction.document import Document
from tasks.extraction.text_files import (
    decode,
    digest_files,
    is_system_file,
    read_text,
    require_utf8_name,
    unreadable,
    warn_of,
    warn_of_tables,
    what_it_is,
)
from tasks.shared import remote
from tasks.shared.errors import CorpusError
from tasks.shared.remote import RemoteFile
from tasks.shared.store.known_files import KnownFiles


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
    if (kind := what_it_is(folder)) != "a folder":
        found_there = f"{kind}, not a folder" if kind else "no such folder"
        raise CorpusError(
            f"{folder}: {found_there}; set extraction.folder.path to a folder with a subfolder per label"
            f"{', or give a table with extraction.source: table' * (kind == 'a file')}"
        )
    root, found = folder.resolve(), _Found([], [], [])
    for label in _visible(folder, found.left_out):
        _require_inside(label, root)
        if not label.is_dir():
            raise CorpusError(
                f"{label.path}: lies outside the labels' subfolders; move it into one, or out of {folder}"
            )
        files = _visible(Path(label.path), found.left_out, f"{label.name}/")
        for file in files:
            _require_inside(file, root)
            if not file.is_file():
                raise CorpusError(f"{file.path}: {_kind(file)}, not a text file; put texts directly into {label.path}")
            found.texts.append((f"{label.name}/{file.name}", Path(file.path)))
        if not files:
            found.empty.append(label.name)
    if not found.texts:
        raise CorpusError(f"{folder}: no text file found; expected files like {folder / 'LABEL' / 'NAME.txt'}")
    found.texts.sort()
    return found


def documents(folder: Path | str, encoding: str = "utf-8") -> Iterator[Document]:
    """The texts in the order of their ids; the label is the subfolder's name. Few texts are in memory at a time.

    `folder` can be a URL. Warns of labels without texts, and of files that were left out.
    """
    if isinstance(folder, str):
        yield from _remote_documents(folder, encoding)
        return
    found = _look_through(folder)
    warn_of("extraction", "left out {} file(s) of systems and editors", found.left_out)
    warn_of("extraction", "{} label folder(s) without a text, so without a label", found.empty)
    warn_of_tables("extraction", found.texts)
    for doc_id, file in found.texts:
        yield Document(doc_id, file.parent.name, doc_id, read_text(file, encoding))


def digest(folder: Path | str, known: KnownFiles | None = None) -> str:
    """sha256 over names (relative to `folder`) and contents of all text files; does not read those in `known`.

    Of files behind a URL, the storage's checksums count instead of the contents.
    """
    if isinstance(folder, str):
        return remote.digest(_remote_texts(folder)[0])
    return digest_files(text_files(folder), known)


def _remote_documents(url: str, encoding: str) -> Iterator[Document]:
    texts, left_out = _remote_texts(url)
    warn_of("extraction", "left out {} file(s) of systems and editors", left_out)
    for file, content in remote.contents(texts):
        text = decode(content, file.url, encoding, "set extraction.folder.encoding")
        yield Document(file.name, file.name.partition("/")[0], file.name, text)


def _remote_texts(url: str) -> tuple[list[RemoteFile], list[str]]:
    """The texts below a URL, sorted by doc_id, which is `label/name`; and the names of those left out."""
    texts, left_out = [], []
    for file in remote.listed(url):
        parts = file.name.split("/")
        if not parts[-1] or any(part.startswith(".") for part in parts):
            continue
        if any(map(is_system_file, parts)):
            left_out.append(file.name)
        elif len(parts) != 2:
            where = "outside the labels' subfolders" if len(parts) == 1 else "in a folder below its label's"
            raise CorpusError(f"{file.url}: lies {where}; expected files like {url.rstrip('/')}/LABEL/NAME.txt")
        else:
            texts.append(file)
    if not texts:
        raise CorpusError(f"{url}: no text file found; expected files like {url.rstrip('/')}/LABEL/NAME.txt")
    return texts, left_out


def _visible(folder: Path, left_out: list[str], prefix: str = "") -> list[os.DirEntry[str]]:
    """What lies in a folder, without hidden entries and those of systems and editors, which go into `left_out`.

    Entries of the directory know what they are: to ask the system about each of 100,000 files takes seconds.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        require_utf8_name(entry.name, folder)
    left_out += [prefix + entry.name for entry in entries if is_system_file(entry.name)]
    return [entry for entry in entries if not is_system_file(entry.name)]


def _require_inside(entry: os.DirEntry[str], root: Path) -> None:
    """Raises CorpusError for a link that leads out of `root`; what is no link lies where it was found."""
    if not entry.is_symlink():
        return
    path = Path(entry.path)
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link to itself, before Python 3.13
        raise CorpusError(f"{path}: broken link ({error}); remove it") from error
    if not target.is_relative_to(root):
        raise CorpusError(f"{path}: link to {target}, outside {root}; copy the text into the folder")


def _kind(entry: os.DirEntry[str]) -> str:
    return "a folder" if entry.is_dir() else "a device or a pipe"
