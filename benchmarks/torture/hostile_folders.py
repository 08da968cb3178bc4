"""Hostile corpora in the folder layout: what each holds, and what must come of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.torture.texts import write_corpus

COUNT = 12
"""Documents of the plain corpus that most cases begin with."""
TEXT = "the of and to in that is was he for it with as his on"


@dataclass(frozen=True)
class Case:
    """A corpus: how it is written into `texts` or as a table, and what a run says.

    `documents`: how many documents it has; None: it is refused. `words`: what the one line of a refusal contains; a
    case with both may end either way.
    """

    name: str
    write: Callable[[Path], object]
    documents: int | None = None
    words: tuple[str, ...] | None = None
    table: str | None = None
    """The table's file name; None: the folder `texts`."""
    settings: dict[str, Any] = field(default_factory=dict)


def folder_cases() -> Iterator[Case]:
    yield Case("plain", plain, COUNT)
    yield Case("byte-order marks", changed(lambda text: b"\xef\xbb\xbf" + text), COUNT)
    yield Case("line breaks of Windows", changed(lambda text: text.replace(b"\n", b"\r\n")), COUNT)
    yield Case("line breaks of old Macs", changed(lambda text: text.replace(b"\n", b"\r")), COUNT)
    yield Case("Latin-1", added(b"caf\xe9 " * 9), words=("utf-8", "odd.txt"))
    yield Case("UTF-16 with a mark", added(("caf\xe9 " * 9).encode("utf-16")), words=("odd.txt",))
    yield Case("UTF-16 without a mark", added(("cafe " * 9).encode("utf-16-le")), words=("odd.txt",))
    yield Case("NUL", added(b"a text with \0 in it, and more words"), words=("odd.txt", "nul"))
    yield Case("half a surrogate pair", added(b"a text with \xed\xa0\x80 in it"), words=("utf-8", "odd.txt"))
    yield Case("overlong UTF-8", added(b"a text with \xc0\xaf in it"), words=("utf-8", "odd.txt"))
    yield Case("truncated UTF-8", added(b"a text that ends in \xe2\x82"), words=("utf-8", "odd.txt"))
    yield Case("right to left", added(("\u202eשלום עולם مرحبا " * 9).encode()), COUNT + 1)
    yield Case("emoji and marks", added(("👩‍👩‍👧 e\u0301\u0323 zalgo̸̢ " * 9).encode()), COUNT + 1)
    yield Case(
        "script in a text", added(b"<script>alert('torture')</script> <img src=x onerror=alert(1)> " * 5), COUNT + 1
    )
    yield Case("formulas in a text", added(b"=cmd|'/c calc'!A1 +1+1 @SUM(A1) " * 9), COUNT + 1)
    yield Case("a name with a line break", named("a\nb.txt"), COUNT + 1)
    yield Case("a name of dots", named("..txt"), COUNT)
    yield Case("a hidden file", named(".hidden"), COUNT)
    yield Case("a name of 250 bytes", named("n" * 246 + ".txt"), COUNT + 1)
    yield Case("a name of spaces", named("   "), COUNT + 1, ("texts",))
    yield Case("a name that is not UTF-8", raw_name, words=("not utf-8",))
    yield Case("a label with script", label("<script>alert('torture')"), COUNT + 4)
    yield Case("a label that is a formula", label("=1+1"), COUNT + 4)
    yield Case("a label with a line break", label("two\nlines"), COUNT + 4, ("label",))
    yield Case("a label right to left", label("\u202eעברית"), COUNT + 4, ("label",))
    yield Case("a link to itself", linked("loop.txt", "loop.txt"), words=("loop.txt", "link"))
    yield Case("a link in a circle", linked("loop", "../../texts"), words=("loop",))
    yield Case("a link to outside", linked("out.txt", "/etc/hostname"), words=("out.txt", "outside"))
    yield Case("a link to nothing", linked("gone.txt", "nothing"), words=("gone.txt", "link"))
    yield Case("a pipe", also(lambda root: os.mkfifo(root / "label0/pipe.txt")), words=("pipe.txt", "pipe"))
    yield Case(
        "a file beside the labels", also(lambda root: (root / "notes.txt").write_text("x")), words=("notes.txt",)
    )
    yield Case("a folder in a label", also(lambda root: (root / "label0/deep").mkdir()), words=("deep",))
    yield Case("no texts", lambda root: root.mkdir(), words=("no text file",))
    yield Case("no folder", lambda root: None, words=("no such folder",))
    yield Case("one label", lambda root: write_corpus(root, 1, COUNT), words=("label",))
    yield Case("200 MB on one line", huge, words=("characters",))


def plain(root: Path) -> None:
    write_corpus(root, 3, COUNT // 3)


def also(act: Callable[[Path], object]) -> Callable[[Path], object]:
    """The plain corpus and then something else."""

    def write(root: Path) -> None:
        plain(root)
        act(root)

    return write


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        plain(root)
        for path in root.rglob("*.txt"):
            path.write_bytes(change(path.read_bytes()))

    return write


def added(content: bytes) -> Callable[[Path], object]:
    return also(lambda root: (root / "label0/odd.txt").write_bytes(content))


def named(name: str) -> Callable[[Path], object]:
    return also(lambda root: (root / "label0" / name).write_text(TEXT))


def raw_name(root: Path) -> None:
    plain(root)
    Path(os.fsdecode(os.fsencode(root / "label0") + b"/\xff.txt")).write_text(TEXT)


def label(name: str) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        plain(root)
        write_corpus(root / "new", 1, 4, seed=3)
        (root / "new/label0").rename(root / name)
        (root / "new").rmdir()

    return write


def linked(name: str, target: str) -> Callable[[Path], object]:
    return also(lambda root: (root / "label0" / name).symlink_to(target))


def huge(root: Path) -> None:
    plain(root)
    (root / "label0/huge.txt").write_bytes(b"word " * 40_000_000)
