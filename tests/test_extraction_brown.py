"""The Brown Corpus: where it is found, how it is fetched, and how it reads."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from brown_archive import write_brown

from tasks.extraction import brown
from tasks.extraction.detokenize import detokenize
from tasks.shared.errors import CorpusError

PROJECT = Path(__file__).resolve().parents[1]


def prose(*paragraphs: str) -> str:
    return detokenize(paragraph.split() for paragraph in paragraphs)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("`` No evidence '' , he said .", '"No evidence," he said.'),
        ("`` Who ? ? '' He asked .", '"Who?" He asked.'),
        ("`` What are you doing here '' ? ? Demanded Alec .", '"What are you doing here?" Demanded Alec.'),
        ("Did he say `` yes '' ? ?", 'Did he say "yes"?'),
        ("One ; ; two ! ! Three : four", "One; two! Three: four"),
        ("World War 1 , , when ( type 2 ) ) it ended", "World War 1, when (type 2) it ended"),
        ("( see ( a ) )", "(see (a))"),
        ("Carson Pirie Scott & Co. .", "Carson Pirie Scott & Co."),
        ("Muskegon , Mich. , ranked", "Muskegon, Mich., ranked"),
        ("the `` ' other ' '' .", "the \"'other.'\""),
        ("He wrote , ' The noise grew .", "He wrote, 'The noise grew."),
        ("kill 'em , the boys' goin' home", "kill 'em, the boys' goin' home"),
        ("between the ' viewless wings ' and the ' other '", "between the 'viewless wings' and the 'other'"),
        ("on pp. 1746 - 1748 , 2 lb. / cu. ft.", "on pp. 1746-1748, 2 lb./cu. ft."),
        ("the C. & O. - B. & O. merger", "the C. & O. - B. & O. merger"),
        ("well -- if so -- [ Hearst ] paid $10,000 , 5% .", "well -- if so -- [Hearst] paid $10,000, 5%."),
        ("in 1/4'' '' and 12'' '' long", 'in 1/4" and 12" long'),
        ("at 100 - 105-degrees-F ( 38 - 43*0C. )", "at 100-105°F (38-43°C.)"),
        ("**ya and **zg at 280 m**ym , f{t} in {0,T}", "α and Γ at 280 mμ, f(t) in [0,T]"),
        ("given by Af , where Af . The Af-fold curve ( Af ) is : Af .", "given by, where. The curve is."),
    ],
)
def test_each_trace_of_the_coding_is_undone(tokens: str, expected: str) -> None:
    assert prose(tokens) == expected


def test_paragraphs_are_kept_and_a_formula_alone_is_dropped() -> None:
    assert prose("One .", "Af .", "Two .") == "One.\n\nTwo."


def test_a_quotation_mark_that_waits_for_an_extract_goes_to_the_extract() -> None:
    assert prose("He begins : ``", "At one time .") == 'He begins:\n\n"At one time.'


def test_words_keep_their_slashes_and_their_tags() -> None:
    (paragraph,) = brown.tagged_paragraphs("\n\n\tand/or/cc mg/l/nn (/(-hl\n")
    assert paragraph == [("and/or", "cc"), ("mg/l", "nn"), ("(", "(-hl")]


def test_headlines_stand_alone_and_datelines_do_not() -> None:
    text = (
        "\n\tMerger/nn-hl proposed/vbn-hl \nHowever/wrb it/pps failed/vbd ./.\n\n\n"
        "\tSalem/np-hl (/(-hl AP/np-hl )/)-hl\n--/-- Rain/nn\n"
    )
    words = [[word for word, _ in paragraph] for paragraph in brown.tagged_paragraphs(text)]
    assert words == [
        ["Merger", "proposed"],
        ["However", "it", "failed", "."],
        ["Salem", "(", "AP", ")", "--", "Rain"],
    ]


def test_documents_are_sorted_and_labelled_by_genre(tmp_path: Path) -> None:
    documents = list(brown.documents(write_brown(tmp_path)))
    assert [(d.doc_id, d.label, d.source) for d in documents] == [
        ("ca01", "news", "brown/ca01"),
        ("cr01", "humor", "brown/cr01"),
    ]
    assert [d.text for d in documents] == ['The jury said "no evidence." It met.\n\nDone.', "Why?"]


def test_nltk_data_is_searched_first_then_the_folders_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = write_brown(tmp_path / "first"), write_brown(tmp_path / "second")
    monkeypatch.setenv("NLTK_DATA", os.pathsep.join([str(tmp_path / "nowhere"), "", str(tmp_path / "second")]))
    assert brown.find(brown.search_path(tmp_path / "first")) == second
    monkeypatch.delenv("NLTK_DATA")
    assert brown.find(brown.search_path(tmp_path / "nowhere", tmp_path / "first")) == first
    assert brown.find([tmp_path]) is None


def test_the_unpacked_corpus_is_the_same_corpus(tmp_path: Path) -> None:
    packed = write_brown(tmp_path / "packed")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "unpacked" / "corpora")
    unpacked = brown.find([tmp_path / "unpacked"])
    assert unpacked == tmp_path / "unpacked" / "corpora" / "brown"
    assert brown.digest(unpacked) == brown.digest(packed)
    assert list(brown.documents(unpacked)) == list(brown.documents(packed))
    (unpacked / "ca01").write_text("Changed/vbn ./.\n")
    assert brown.digest(unpacked) != brown.digest(packed)


def test_a_damaged_archive_names_itself(tmp_path: Path) -> None:
    archive = write_brown(tmp_path)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match=r"brown\.zip: not readable"):
        list(brown.documents(archive))


def test_a_flipped_bit_is_found_by_the_archives_checksum(tmp_path: Path) -> None:
    archive = write_brown(tmp_path)
    with zipfile.ZipFile(archive) as opened:
        entry = opened.getinfo("brown/ca01")
    content = bytearray(archive.read_bytes())
    content[entry.header_offset + 30 + len(entry.filename) + 10] ^= 1
    archive.write_bytes(content)
    with pytest.raises(CorpusError, match="not readable"):
        list(brown.documents(archive))


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ("ca01 news\nca02 news\n", "ca02"),
        ("../../secret news\n", "line '../../secret news'"),
        ("ca01\n", "line 'ca01'"),
    ],
)
def test_a_list_of_texts_that_does_not_fit_is_refused(tmp_path: Path, categories: str, message: str) -> None:
    with pytest.raises(CorpusError, match=re.escape(message)):
        list(brown.documents(write_brown(tmp_path, categories=categories)))


def test_a_text_that_is_not_ascii_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="ca01 is not ASCII at byte 3"):
        list(brown.documents(write_brown(tmp_path, {"ca01": "cafés/nns\n"})))


class _Mirror(http.server.BaseHTTPRequestHandler):
    """A proxy that serves an index and an archive, whatever host is asked for."""

    archive = b""
    unpacked = 0
    checksum = ""

    def do_GET(self) -> None:
        index = (
            f'<nltk_data><packages><package id="brown" name="Brown" subdir="corpora" unzip="1" '
            f'size="{len(self.archive)}" unzipped_size="{self.unpacked}" checksum="{self.checksum}" '
            f'url="http://data.example/brown.zip"/></packages><collections/></nltk_data>'
        )
        body = self.archive if self.path.endswith(".zip") else index.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    archive = write_brown(tmp_path / "mirror")
    with zipfile.ZipFile(archive) as opened:
        _Mirror.unpacked = sum(entry.file_size for entry in opened.infolist())
    _Mirror.archive = archive.read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def download(folder: Path, index: str, proxy: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: NLTK reads the proxy from the environment, and warns about folders below /tmp."""
    code = (
        "import logging, pathlib, sys; from tasks.extraction import brown; logging.basicConfig(level=20)\n"
        "try: print(brown.download(pathlib.Path(sys.argv[1]), sys.argv[2]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environment = os.environ | {"http_proxy": proxy, "NLTK_ALLOW_PROXIED_URLOPEN": "1", "no_proxy": ""}
    command = [sys.executable, "-c", code, str(folder), index]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True, timeout=120
    )


def test_a_missing_corpus_is_downloaded_with_progress(tmp_path: Path, mirror: str) -> None:
    _Mirror.checksum = hashlib.md5(_Mirror.archive).hexdigest()
    done = download(tmp_path / "data", "http://data.example/index.xml", mirror)
    archive = tmp_path / "data" / "corpora" / "brown.zip"
    assert done.stdout.strip() == str(archive), done.stdout + done.stderr
    assert archive.read_bytes() == _Mirror.archive
    assert "% downloaded" in done.stderr


def test_a_download_with_another_checksum_is_refused_and_removed(tmp_path: Path, mirror: str) -> None:
    _Mirror.checksum = "0" * 32
    done = download(tmp_path / "data", "http://data.example/index.xml", mirror)
    assert done.stdout.startswith("DownloadError Brown Corpus not found (")
    assert brown.find([tmp_path / "data"]) is None


def test_without_a_network_the_error_names_three_ways(tmp_path: Path) -> None:
    done = download(tmp_path / "data", "http://data.example/index.xml", "http://127.0.0.1:9")
    assert done.stdout.startswith("DownloadError Brown Corpus not found")
    for way in ("run again with access to", str(tmp_path / "data" / "corpora" / "brown.zip"), "set NLTK_DATA"):
        assert way in done.stdout
    assert len(done.stdout.splitlines()) == 1
