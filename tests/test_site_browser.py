"""The site in a real browser without a network: nothing breaks, everything can be used by keyboard and read aloud."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Pipeline, Result
from playwright.sync_api import Browser, Page, sync_playwright
from site_data import HOSTILE_LABEL, two_thousand_labels, write

from flows.pipeline.stages import STAGES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # four runs, on a machine that others use too
WIDTHS = (360, 1100, 2560)
KINDS = (
    *("index.html", "runs/index.html", "runs/2*.html", "compare/index.html", "compare/*-*.html", "quarantine/*.html"),
    *(f"stages/{stage}.html" for stage in STAGES),
    *("artifacts/splitting-*.html", "reports/*.html"),
)
"""A pattern for each kind of page."""


@pytest.fixture
def site(site_runs: tuple[Pipeline, list[Result]]) -> Path:
    return site_runs[0].data / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "install chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page that notes what goes wrong on it."""

    def __init__(self, browser: Browser, width: int = 1100, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, reduced_motion="reduce"
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.faults: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.on("request", lambda request: self._judge(request.url))

    def _judge(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.faults.append(url)

    def __call__(self, path: Path) -> Page:
        self.page.goto(path.as_uri())
        return self.page


def pages(site: Path) -> list[Path]:
    return [next(iter(sorted(site.glob(kind), reverse=True))) for kind in KINDS]


def judge_layout(page: Page, name: object) -> None:
    """Nothing is wider than the window, except what scrolls in a box of its own."""
    too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(too_wide) == 0, name
    outside = """[...document.querySelectorAll('main *')].filter(e => {
        const box = e.getBoundingClientRect();
        const within = e.closest('.scroll, .box, .snippet, svg, details:not([open])');
        return !within && box.width > 0 && (box.right > innerWidth + 1 || box.left < -1);
    }).map(e => e.tagName + ' ' + e.className)"""
    assert page.evaluate(outside) == [], name
    assert page.evaluate("typeof hacked") == "undefined", name


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_opens_without_a_network_and_nothing_is_cut_off(site: Path, browser: Browser, width: int):
    opened = Opened(browser, width, "dark" if width == 360 else "light")
    everything = sorted(site.rglob("*.html"))
    assert len(everything) > 30
    for path in everything:
        judge_layout(opened(path), path)
    assert opened.faults == []


@pytest.mark.parametrize("width", WIDTHS)
def test_two_thousand_labels_and_a_megabyte_are_not_cut_off(copied: Pipeline, browser: Browser, width: int):
    two_thousand_labels(copied)
    written = write(copied)
    opened = Opened(browser, width)
    report = next(path for path in written.written if path.startswith("reports/"))
    for name in (report, "stages/evaluation.html", "stages/extraction.html", "stages/cleaning.html"):
        page = opened(copied.data / "site" / name)
        judge_layout(page, name)
        assert (copied.data / "site" / name).stat().st_size < 4_000_000
        for index in range(page.locator("td details").count()):
            page.locator("td details").nth(index).evaluate("details => { details.open = true }")
        judge_layout(page, name)
    assert "label 1999" in opened(copied.data / "site" / report).content()
    assert opened.faults == []


def test_neighbouring_tokens_differ_in_colour(site: Path, browser: Browser):
    page = Opened(browser)(site / "stages/tokenization.html")
    looks = page.evaluate("""[...document.querySelector('td.tokens').querySelectorAll('i')].slice(0, 8).map(e => {
        const style = getComputedStyle(e);
        return [style.boxShadow, style.backgroundColor].join();
    })""")
    assert len(looks) == 8
    assert all("rgb" in look for look in looks)
    assert all(one != other for one, other in pairwise(looks))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site: Path, browser: Browser, scheme: str):
    opened, axe = Opened(browser, scheme=scheme), Axe()
    found = {}
    for path in pages(site):
        result = axe.run(opened(path))
        serious = [v for v in result.response["violations"] if v["impact"] in {"serious", "critical"}]
        for fault in serious:
            found[path.name, fault["id"]] = [node["html"][:160] for node in fault["nodes"][:3]]
    assert found == {}


def test_rows_are_searched_and_filtered_by_keyboard(site: Path, browser: Browser):
    opened = Opened(browser)
    page = opened(site / "stages/splitting.html")
    rows = page.locator("[data-filter] tbody tr:visible")
    everything = rows.count()
    assert everything > 40
    page.keyboard.press("/")
    page.keyboard.type("label0/00")
    assert 0 < rows.count() < everything
    assert page.locator("output").first.text_content() == f"{rows.count()} of {everything} rows"
    page.keyboard.press("Escape")
    assert rows.count() == everything
    page.locator("select[name=label]").first.select_option(HOSTILE_LABEL)
    assert rows.count() == 14
    page.locator("select[name=split]").first.focus()
    page.keyboard.press("ArrowDown")
    assert 0 < rows.count() < 14
    assert opened.faults == []


def test_a_command_is_copied_by_keyboard(site: Path, browser: Browser):
    opened = Opened(browser)
    page = opened(site / "stages/cleaning.html")
    button = page.locator("button[data-copy]").first
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('button[data-copy]').textContent == 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()").startswith("import pandas as pd; df = pd.read_parquet(")
    assert opened.faults == []


def test_a_page_leads_to_what_it_names(site: Path, browser: Browser):
    opened = Opened(browser)
    page = opened(site / "index.html")
    page.get_by_role("link", name="The newest run failed in extraction").click()
    assert "Stopped in extraction." in page.inner_text("main")
    page.get_by_role("link", name="its tables and rows").click()
    assert "In quarantine." in page.inner_text("main")
    page.get_by_role("link", name="corpusflow").click()
    page.get_by_role("link", name="Report").first.click()
    assert "measured on" in page.inner_text("h1")
    page.get_by_role("link", name="cleaning").first.click()
    assert page.inner_text("h1") == "Cleaning"
    for path in sorted(site.rglob("*.html")):
        page = opened(path)
        for link in page.evaluate(
            "[...document.querySelectorAll('a[href]')].map(a => new URL(a.getAttribute('href'), location).href)"
        ):
            if link.startswith("file:"):
                assert Path(unquote(link.removeprefix("file://").partition("#")[0])).exists(), (path, link)
    assert opened.faults == []


def test_it_can_be_printed(site: Path, browser: Browser):
    opened = Opened(browser)
    page = opened(site / "stages/cleaning.html")
    page.emulate_media(media="print")
    assert not page.locator("nav.bar").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.box')).maxHeight") == "none"
    assert len(page.pdf()) > 10_000
