"""Sources behind URLs, read from servers on this machine: S3 (moto's) and HTTP (the standard library's)."""

from __future__ import annotations

import functools
import http.server
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from tasks.extraction import folder, table
from tasks.extraction.document import Document
from tasks.extraction.rows import Columns
from tasks.extraction.settings import ExtractionSettings
from tasks.extraction.task import extract, sources
from tasks.shared.errors import CorpusError, DownloadError
from tasks.shared.parquet import read_table

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
SECRET = "not-to-be-seen"
COLUMNS = Columns("text", "label", "id")
CSV = 'id,label,text\n1,x,"One, and more"\n2,y,Two\n'
TEXTS = {
    "a/1.txt": "Ünø",
    "a/2.txt": "Zwei",
    "b/1.txt": "Three",
    "b/[2] *.txt": "Four",
    "b/Thumbs.db": "x",
    ".hidden/1.txt": "x",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    yield "http://{}:{}".format(*moto.get_host_and_port())
    moto.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.resources.base.ServiceResource]:
    values = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": server, "REGION": "us-east-1"}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    found = boto3.resource("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket="corpus")
    yield found
    found.objects.all().delete()
    found.delete()


def put(bucket: boto3.resources.base.ServiceResource, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        bucket.put_object(Key=name, Body=content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a web server, and the folder that it shows."""
    root = tmp_path / "site"
    root.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", root
    httpd.shutdown()
    httpd.server_close()


def settings(kind: str, path: str) -> ExtractionSettings:
    columns = {"doc_id_column": "id"} if kind == "table" else {}
    return ExtractionSettings.model_validate({"source": kind, kind: {"path": path, **columns}}, context={"root": "/x"})


def test_a_folder_on_s3_is_read_as_one_on_disk(bucket, tmp_path: Path, caplog) -> None:
    put(bucket, {f"texts/{name}": text for name, text in TEXTS.items()})
    for name, text in TEXTS.items():
        place = tmp_path / "texts" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    expected = list(folder.documents(tmp_path / "texts"))
    with caplog.at_level(logging.DEBUG):
        assert list(folder.documents("s3://corpus/texts/")) == expected
        assert [document.doc_id for document in expected] == ["a/1.txt", "a/2.txt", "b/1.txt", "b/[2] *.txt"]
        chosen = settings("folder", "s3://corpus/texts")
        (tmp_path / "out").mkdir()
        assert extract.function(chosen, tmp_path / "out")["rows"] == 4
    assert read_table(tmp_path / "out" / "documents")["text"].to_pylist() == ["Ünø", "Zwei", "Three", "Four"]
    assert SECRET not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("corpusflow"))
    assert SECRET not in str(chosen.model_dump(mode="json"))
    assert "left out 1 file of" in caplog.text


def test_the_fingerprint_follows_what_the_storage_says(bucket) -> None:
    chosen = settings("folder", "s3://corpus/texts")
    put(bucket, {f"texts/{name}": text for name, text in TEXTS.items()})
    first = sources(chosen)
    assert sources(chosen) == first
    put(bucket, {"texts/a/1.txt": "changed"})
    changed = sources(chosen)
    put(bucket, {"texts/a/1.txt": TEXTS["a/1.txt"]})
    assert sources(chosen) == first != changed
    put(bucket, {"texts/a/3.txt": "new"})
    assert sources(chosen) not in (first, changed)


def test_tables_on_s3(bucket, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["3"], "label": ["x"], "text": ["Three"]}), tmp_path / "part")
    part = (tmp_path / "part").read_bytes()
    put(bucket, {"t.csv": CSV, "parts/label=y/a.parquet": part, "parts/_temporary/b.parquet": b"", "parts/c.txt": ""})
    one = [Document("1", "x", "t.csv row 1", "One, and more"), Document("2", "y", "t.csv row 2", "Two")]
    assert list(table.documents("s3://corpus/t.csv", COLUMNS)) == one
    assert list(table.documents("s3://corpus/parts", COLUMNS)) == [
        Document("3", "y", "label=y/a.parquet row 1", "Three")
    ]
    assert sources(settings("table", "s3://corpus/t.csv")) != sources(settings("table", "s3://corpus/parts"))


def test_errors_of_s3_are_one_line_with_the_url(bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bucket, {"t.csv": "id,label,text\n1,x,One\n2,y\n", "deep/a/b/c.txt": "x", "flat/c.txt": "x"})
    for read, message in [
        (lambda: list(table.documents("s3://corpus/t.csv", COLUMNS)), r"^s3://corpus/t\.csv: row 2: 2 fields"),
        (lambda: table.digest("s3://corpus/none.csv"), r"^s3://corpus/none\.csv: no such file or folder"),
        (lambda: table.digest("s3://absent/none.csv"), r"^s3://absent/none\.csv: no such file or folder"),
        (lambda: table.digest("s3://corpus/deep"), r"^s3://corpus/deep: no \.parquet file there"),
        (lambda: folder.digest("s3://corpus/deep"), r"^s3://corpus/deep/a/b/c\.txt: lies in a folder below its label"),
        (lambda: folder.digest("s3://corpus/flat"), r"^s3://corpus/flat/c\.txt: lies outside the labels"),
    ]:
        with pytest.raises(CorpusError, match=message) as caught:
            read()
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(DownloadError, match=r"^s3://corpus/t\.csv: the storage does not answer") as lost:
        table.digest("s3://corpus/t.csv")
    assert SECRET not in str(lost.value)


def test_a_table_and_a_folder_over_http(site) -> None:
    url, root = site
    (root / "t.csv").write_text(CSV)
    for name in ("a", "b"):
        (root / "texts" / name).mkdir(parents=True)
        (root / "texts" / name / "ü 1.txt").write_text(f"Text {name}", encoding="utf-8")
    assert [d.text for d in table.documents(f"{url}/t.csv", COLUMNS)] == ["One, and more", "Two"]
    assert list(folder.documents(f"{url}/texts/")) == [
        Document(f"{name}/ü 1.txt", name, f"{name}/ü 1.txt", f"Text {name}") for name in ("a", "b")
    ]
    before = table.digest(f"{url}/t.csv")
    assert table.digest(f"{url}/t.csv") == before
    (root / "t.csv").write_text(CSV + "3,x,Three\n")
    assert table.digest(f"{url}/t.csv") != before
    with pytest.raises(CorpusError, match=rf"^{url}/none\.csv: no such file or folder"):
        table.digest(f"{url}/none.csv")


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a table.csv").write_text(CSV)
    url = (tmp_path / "a table.csv").as_uri()
    assert settings("table", url).table.path == tmp_path / "a table.csv"
    assert sources(settings("table", url)) == sources(settings("table", str(tmp_path / "a table.csv")))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"https://me:{SECRET}@host/t.csv", "a user, a password or a query"),
        ("https://host/t.csv?signature=1", "a user, a password or a query"),
        ("nothing://host/t.csv", "nothing:// is no protocol"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings("table", url)


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys\nsys.modules['s3fs'] = None\nfrom tasks.extraction import table\n"
        "try: table.digest('s3://corpus/t.csv')\nexcept Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("CorpusError s3://corpus/t.csv: cannot be read here (")
    assert done.stdout.endswith("install `pip install '.[s3]'`\n")
