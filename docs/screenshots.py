"""Takes the pictures of README.md, docs/site.md and docs/ui.md.

    python docs/screenshots.py [--set KEY=VALUE …]      runs the pipeline on a server of its own; all pictures
    python docs/screenshots.py --site DATA              those of the site of a data folder alone

Needs chromium. Server, database and artifacts lie in a temporary folder; `docs/images/` is what stays.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from websockets.sync.client import connect

PROJECT = Path(__file__).resolve().parents[1]
IMAGES = PROJECT / "docs/images"
PIPELINE = "brown"
QUIET = (
    *(
        "--headless",
        "--no-sandbox",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0"),
)
FAILING = ("--set", "checks.extraction.documents=501", "--set", "checks.extraction.labels=16")
WIDTH, HEIGHT = 1360, 860
ARTIFACTS = {
    f"{PIPELINE}-extraction": 1250,
    f"{PIPELINE}-check-tokenization": HEIGHT,
    f"{PIPELINE}-training-curve": 1100,
    f"{PIPELINE}-evaluation-metrics": 1300,
    f"{PIPELINE}-evaluation-confusion": 900,
    f"{PIPELINE}-retrain": HEIGHT,
    f"{PIPELINE}-failure": HEIGHT,
}
"""Key of each artifact that gets a picture, and the height of its page."""


class Browser:
    """Chromium, driven through its debugging port."""

    def __init__(self, home: Path) -> None:
        command = ["chromium", *QUIET, f"--user-data-dir={home}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = home / "DevToolsActivePort"
        until(lambda: port.exists() and port.read_text().strip(), "chromium")
        pages = get(f"http://127.0.0.1:{port.read_text().split()[0]}/json")
        self.socket = connect(
            next(page for page in pages if page["type"] == "page")["webSocketDebuggerUrl"], max_size=None
        )
        self.sent = 0

    def __call__(self, method: str, **parameters: Any) -> Any:
        """Sends a command, waits for its answer."""
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.sent:
            pass
        return answer["result"]

    def value(self, expression: str) -> Any:
        """What an expression is on the page."""
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def shoot(self, url: str, name: str, shows: str, height: int = HEIGHT, seconds: float = 2) -> None:
        """Opens a page, waits until it shows a text, and keeps a picture of it."""
        self("Emulation.setDeviceMetricsOverride", width=WIDTH, height=height, deviceScaleFactor=1, mobile=False)
        self("Page.navigate", url=url)
        until(lambda: shows in (self.value("document.body.innerText") or ""), f"{url} to show {shows!r}")
        time.sleep(seconds)  # what moves comes to rest
        data = base64.b64decode(self("Page.captureScreenshot", format="png")["data"])
        small = Image.open(io.BytesIO(data)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        IMAGES.mkdir(exist_ok=True)
        small.save(IMAGES / f"{name}.png", optimize=True)
        print(f"{name}.png  {(IMAGES / f'{name}.png').stat().st_size / 1024:.0f} KiB", flush=True)  # noqa: T201

    def close(self) -> None:
        """Ends it."""
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)


def until(true: Any, what: str, seconds: float = 120) -> None:
    """Waits for something to be true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.3)


def get(url: str, body: Any = None) -> Any:
    """An answer in JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (this machine)
        return json.load(answer)


@contextmanager
def server(home: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A Prefect server on a free port of this machine; its address, and the environment that leads to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(f"{url}/api/health"), "the server", 180)
        yield url, environment | {"PREFECT_API_URL": f"{url}/api"}
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    """Whether somebody is there."""
    try:
        get(url)
    except OSError:
        return False
    return True


def run(environment: dict[str, str], *arguments: str) -> subprocess.Popen[bytes]:
    """The pipeline, as a user starts it."""
    return subprocess.Popen([sys.executable, "-m", "flows.cli", "run", *arguments], cwd=PROJECT, env=environment)


def latest(url: str, key: str) -> dict[str, Any] | None:
    """The newest artifact under a key."""
    chosen = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
    found = get(f"{url}/api/artifacts/filter", chosen)
    return dict(found[0]) if found else None


def under_way(url: str, key: str) -> bool:
    """Whether a bar is neither at its beginning nor at its end."""
    bar = latest(url, key)
    return bar is not None and 10 < float(bar["data"]) < 95


def photograph(url: str, environment: dict[str, str], settings: Sequence[str], browser: Browser) -> None:
    """One run, photographed while it trains and afterwards; one that finds nothing to do; one that a check stops."""
    progress = f"{PIPELINE}-training-progress"
    first = run(environment, *settings)
    until(lambda: first.poll() is not None or under_way(url, progress), "training", 1800)
    if first.poll() is None:
        shoot_artifact(browser, url, progress, 620)
    if first.wait():
        raise SystemExit("the run failed")
    run(environment, *settings).wait()
    run(
        environment, *settings, "--set", "checks.extraction.documents=501", "--set", "checks.extraction.labels=16"
    ).wait()
    browser.shoot(f"{url}/v2/runs", "runs", "retrain-", 1040)
    flow_runs = get(f"{url}/api/flow_runs/filter", {"sort": "START_TIME_ASC", "limit": 1})
    browser.shoot(f"{url}/v2/runs/flow-run/{flow_runs[0]['id']}", "graph", "retrain", 1000, 10)
    browser.shoot(f"{url}/v2/artifacts", "artifacts", f"{PIPELINE}-extraction", 1000)
    for key, height in ARTIFACTS.items():
        shoot_artifact(browser, url, key, height)
    shoot_artifact(browser, url, f"{PIPELINE}-check-extraction", HEIGHT)


def shoot_artifact(browser: Browser, url: str, key: str, height: int) -> None:
    """The newest artifact under a key, as its page shows it."""
    artifact = latest(url, key)
    if artifact is None:
        raise LookupError(key)
    name = key.removeprefix(f"{PIPELINE}-")
    browser.shoot(f"{url}/v2/artifacts/artifact/{artifact['id']}", name, "Created", height)


def photograph_site(browser: Browser, site: Path) -> None:
    """The first page, the newest run that a check stopped, the cleaned texts and the report, in light colours."""
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    browser("Emulation.setEmulatedMedia", features=light)
    browser.shoot((site / "index.html").as_uri(), "site-home", "The model in use", 1180)
    failed = [path for path in sorted((site / "runs").glob("2*.html")) if "Stopped in" in path.read_text()]
    browser.shoot(failed[-1].as_uri(), "site-run", "What ran", 1180)
    browser.shoot((site / "stages/cleaning.html").as_uri() + "#dropped", "site-cleaning", "Dropped texts", 760)
    report = max((site / "reports").glob("*.html"), key=lambda path: path.stat().st_mtime)
    browser.shoot(report.as_uri(), "report", "accuracy", 1000)


def photograph_site_of(data: Path) -> None:
    """The pictures of an existing data folder's site."""
    folder = Path(tempfile.mkdtemp(prefix="screenshots-"))
    browser = Browser(folder)
    try:
        photograph_site(browser, data / "site")
    finally:
        browser.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Runs, photographs, and cleans up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for corpusflow run")
    parser.add_argument("--site", type=Path, metavar="DATA", help="only the pictures of this data folder's site")
    chosen = parser.parse_args()
    if chosen.site:
        photograph_site_of(chosen.site.resolve())
        return
    given = [word for value in chosen.set for word in ("--set", value)]
    folder = Path(tempfile.mkdtemp(prefix="screenshots-"))
    settings = ["--set", f"data={folder / 'data'}", *given]
    try:
        with server(folder / "prefect") as (url, environment):
            browser = Browser(folder / "browser")
            try:
                photograph(url, environment, settings, browser)
                photograph_site(browser, folder / "data/site")
            finally:
                browser.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
