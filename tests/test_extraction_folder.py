"""A folder with one subfolder per label."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.extraction import folder
from tasks.extraction.document import Document
from tasks.shared.errors import CorpusError

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    root = tmp_path / "texts"
    for name, text in {"b/2.txt": "two", "a/1.txt": "Ünø", "a/0.txt": "", "a-b/1.txt": "dash"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def refused(root: Path, *parts: str, encoding: str = "utf-8") -> None:
    with pytest.raises(CorpusError) as caught:
        list(folder.documents(root, encoding))
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_ids_are_paths_and_labels_are_folders(texts: Path) -> None:
    assert list(folder.documents(texts)) == [
        Document("a-b/1.txt", "a-b", "a-b/1.txt", "dash"),
        Document("a/0.txt", "a", "a/0.txt", ""),
        Document("a/1.txt", "a", "a/1.txt", "Ünø"),
        Document("b/2.txt", "b", "b/2.txt", "two"),
    ]


def test_hidden_files_and_folders_are_left_out(texts: Path) -> None:
    before = folder.digest(texts)
    (texts / ".git").mkdir()
    (texts / "a" / ".DS_Store").write_bytes(b"\0\xff")
    assert len(list(folder.documents(texts))) == 4
    assert folder.digest(texts) == before


def test_files_of_systems_and_editors_and_empty_labels_are_named(texts: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = folder.digest(texts)
    for name in ("Thumbs.db", "a/desktop.ini", "a/1.txt~", "b/Thumbs.db"):
        (texts / name).write_bytes(b"\xd0\xcf\x11\xe0")
    for number in range(12):
        (texts / f"empty{number:02d}").mkdir()
    assert len(list(folder.documents(texts))) == 4
    assert folder.digest(texts) == before
    assert [record.getMessage() for record in caplog.records] == [
        "extraction: left out 4 files of systems and editors: Thumbs.db, a/1.txt~, a/desktop.ini, b/Thumbs.db",
        "extraction: 12 label folders without a text, so without a label: "
        + ", ".join(f"empty{number:02d}" for number in range(10))
        + " and 2 more",
    ]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named(texts: Path, codec: str) -> None:
    (texts / "b" / "2.txt").write_bytes("two words".encode(codec))
    refused(texts, "b/2.txt", f"this is UTF-16 ({codec}), not UTF-8", "extraction.folder.encoding")
    (texts / "b" / "2.txt").write_bytes("ö\0".encode())
    refused(texts, "b/2.txt", "NUL at byte 2")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "latin-1"])
def test_a_declared_encoding_is_read(texts: Path, encoding: str) -> None:
    for file in texts.rglob("*.txt"):
        file.write_bytes("naïve “text”".replace("“", '"').replace("”", '"').encode(encoding))
    assert {document.text for document in folder.documents(texts, encoding)} == {'naïve "text"'}


def test_a_byte_order_mark_is_no_text(texts: Path) -> None:
    (texts / "b" / "2.txt").write_bytes("\ufefftwo".encode())
    assert [document.text for document in folder.documents(texts)][-1] == "two"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_wrong_encoding_names_file_and_byte(texts: Path, mark: bytes) -> None:
    (texts / "b" / "2.txt").write_bytes(mark + b"caf\xe9 noir")
    refused(texts, "b/2.txt", f"not utf-8 at byte {len(mark) + 3} (0xe9)", "extraction.folder.encoding")


def test_a_binary_file_names_itself(texts: Path) -> None:
    (texts / "b" / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    refused(texts, "b/picture.png", "byte 0 (0x89)")
    refused(texts, "b/picture.png", "NUL at byte 8", encoding="latin-1")


def test_a_nul_is_no_text(texts: Path) -> None:
    (texts / "b" / "2.txt").write_bytes("é\0".encode())
    refused(texts, "b/2.txt", "NUL at byte 2")


def test_a_missing_or_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder", "extraction.folder.path")
    (tmp_path / "texts" / "a").mkdir(parents=True)
    refused(tmp_path / "texts", "no text file found", "LABEL")


def test_a_file_outside_of_the_labels_is_not_lost_in_silence(texts: Path) -> None:
    (texts / "stray.txt").write_text("text")
    refused(texts, "stray.txt", "outside the labels' subfolders")


def test_a_folder_or_a_pipe_is_not_a_text(texts: Path) -> None:
    (texts / "a" / "deeper").mkdir()
    refused(texts, "a/deeper", "a folder, not a text file")
    (texts / "a" / "deeper").rmdir()
    os.mkfifo(texts / "a" / "pipe")
    refused(texts, "a/pipe", "a device or a pipe")


@pytest.mark.parametrize("place", ["a/link.txt", "link"])
def test_a_link_that_leads_out_is_refused(texts: Path, place: str) -> None:
    outside = texts.parent / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (texts / place).symlink_to(outside / "secret.txt" if place.endswith(".txt") else outside)
    refused(texts, place, "link to", "outside")


def test_links_that_lead_nowhere_or_to_themselves_are_refused(texts: Path) -> None:
    (texts / "a" / "gone.txt").symlink_to(texts / "missing.txt")
    refused(texts, "a/gone.txt", "broken link")
    (texts / "a" / "gone.txt").unlink()
    (texts / "a" / "loop.txt").symlink_to(texts / "a" / "loop.txt")
    refused(texts, "a/loop.txt", "broken link")


def test_a_link_within_the_folder_is_read(texts: Path) -> None:
    (texts / "b" / "same.txt").symlink_to(texts / "a" / "1.txt")
    assert [document.text for document in folder.documents(texts)][-1] == "Ünø"


def test_a_folder_that_is_itself_a_link_is_read(texts: Path) -> None:
    (texts.parent / "link").symlink_to(texts)
    assert len(list(folder.documents(texts.parent / "link"))) == 4


def test_a_name_that_is_not_utf8_is_refused(texts: Path) -> None:
    (texts / "a" / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    refused(texts, "is not UTF-8; rename it")


@pytest.mark.parametrize("place", ["a/1.txt", "a"])
def test_what_may_not_be_read_names_itself(texts: Path, place: str) -> None:
    """As an ordinary user, in a process of its own, since permissions do not bind root."""
    (texts / place).chmod(0)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tasks.extraction import folder\n"
        "os.chdir(sys.argv[1])\n"  # folders above may not be open to that user
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "try: print(list(folder.documents(Path('.'))))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(texts)], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60
    )
    (texts / place).chmod(0o755)
    assert re.match(rf"CorpusError {place}: not readable \(Permission denied\)", done.stdout), done.stdout + done.stderr


def test_the_digest_follows_names_and_contents(texts: Path) -> None:
    before = folder.digest(texts)
    moved = texts.rename(texts.parent / "elsewhere")
    assert folder.digest(moved) == before
    (moved / "a" / "1.txt").rename(moved / "a" / "3.txt")
    renamed = folder.digest(moved)
    (moved / "a" / "3.txt").write_text("Other")
    assert len({before, renamed, folder.digest(moved)}) == 3


def test_a_path_that_is_no_folder_is_named(tmp_path: Path):
    (tmp_path / "t.csv").write_text("label,text\n")
    for path, message in (
        (tmp_path / "t.csv", r"t\.csv: a file, not a folder; .*, or give a table with extraction\.source: table$"),
        (Path("/dev/null"), r"null: a pipe or a device, not a folder; set extraction\.folder\.path to .* per label$"),
        (tmp_path / ("n" * 300), "File name too long"),
    ):
        with pytest.raises(CorpusError, match=message):
            folder.digest(path)
