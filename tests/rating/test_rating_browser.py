"""The rating pages in a real browser, the system's Chromium: a whole way by keyboard, no connection, two tabs, a phone."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the web server of the extra `serve` is not installed")
pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sambench.rating.database import Database
from sambench.rating.intake import bring_in, find_study
from sambench.rating.practice import PRACTICE
from sambench.rating.queue import Queue, Rater
from sambench.rating.stored import ratings_of
from sambench.rating.web import server
from sambench.rating.web.app import Settings, application
from sambench.rating.web.lead import lead_token
from tests.helpers.rating_study import write_study

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
GUARD_MS = 400  # the page ignores a rating so soon after a mask has come


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with sync_playwright() as p:
        found = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Site:
    """A study that is served on loopback by a thread."""

    def __init__(self, study: Path, database: Path) -> None:
        self.database = Database(database, create=True)
        folder = find_study(study)
        bring_in(self.database, folder)
        self.queue = Queue(self.database)
        self.listening = server.listen("127.0.0.1", 0)
        self.app = application(self.database, Settings(folder.root))
        self.server = server.server(self.app)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening.socket]})
        self.thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        self.database.close()

    def link(self, rater: Rater) -> str:
        return f"{self.listening.address}/r/{rater.token}"

    def rater(self) -> Rater:
        """Someone who has done all that comes before the queue."""
        rater = self.queue.invite("Ada")
        self.queue.consent(rater.rater_id, "Ada")
        self.queue.guided(rater.rater_id)
        self.queue.practise(rater.rater_id, 0, 5, 1)
        return rater

    def scores(self) -> list[str]:
        return [r["score"] for r in ratings_of(self.database)[0]]

    def n_given(self) -> int:
        with self.database.read() as s:
            return int(s.rows("SELECT COUNT(*) AS n FROM ratings")[0]["n"])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "s", n_inputs=6, n_controls=0)


@pytest.fixture
def site(study: Path, tmp_path: Path) -> Iterator[Site]:
    found = Site(study, tmp_path / "ratings.sqlite")
    yield found
    found.close()


@pytest.fixture
def pages(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Pages of contexts of their own, on which no script may fail."""
    contexts, errors = [], []

    def make(width: int = 1200, height: int = 800, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.on("weberror", lambda e: errors.append(str(e.error)))
        return context.new_page()

    yield make
    for context in contexts:
        context.close()
    assert errors == []


def ready(page: Page) -> Page:
    """Wait until a mask is on screen, and may be rated."""
    page.wait_for_selector("body.rating:not(.waits) img.on")
    page.wait_for_timeout(GUARD_MS + 100)
    return page


def slot(page: Page) -> str:
    return page.locator("#scale input[name=slot]").input_value()


def rated(page: Page, n: int) -> None:
    expect(page.locator("#progress")).to_contain_text(f"{n} rated")
    ready(page)


def in_time(what: Callable[[], bool]) -> None:
    """Wait until something holds on the server's side."""
    until = time.monotonic() + 20
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_whole_way_by_keyboard_alone(site: Site, pages: Callable[..., Page]) -> None:
    page = pages()
    page.goto(site.link(site.queue.invite("Ada")))
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Grace")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/guidelines")
    page.locator("button.primary").focus()
    page.keyboard.press("Enter")
    for n, task in enumerate(PRACTICE):
        expect(page.locator("#progress")).to_have_text(f"{n + 1} of {len(PRACTICE)}")
        ready(page)
        page.keyboard.press("0" if task.high == 10 else str(task.high if n else 1))
        expect(page.locator("#verdict-text")).to_have_text(task.why)
        page.keyboard.press("Enter")
    page.wait_for_url("**/rate")
    for n in range(18):
        rated(page, n)
        if n == 2:
            page.keyboard.press("u")
            expect(page.locator("#said")).to_contain_text("Taken back: it was 2")
            rated(page, 1)
            page.keyboard.press("x")
            rated(page, 2)
        page.keyboard.press(str((n + 1) % 10))
    expect(page.locator("h1")).to_have_text("Thank you")
    assert site.queue.raters()[0].name == "Grace"
    assert site.scores() == [str((n % 10) + 1) for n in range(18) if n != 1]
    assert site.n_given() == 18


def test_the_views_blink_zoom_and_keep_the_scales_wording_in_sight(site: Site, pages: Callable[..., Page]) -> None:
    page = pages()
    page.goto(site.link(site.rater()))
    ready(page)

    def on() -> str:
        return str(page.evaluate("document.querySelector('#pan img.on').src.split('/').pop()"))

    assert on() == "overlay"
    page.keyboard.press("Space")
    assert on() == "image"
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert on() == "zoom"
    page.click("#blink")
    assert on() == "plain"
    page.click("[data-view=outline]")
    assert on() == "outline"
    assert page.locator(".view[aria-pressed=true] span").text_content() == "Outline"

    def scale() -> float:
        return float(page.evaluate("new DOMMatrix(getComputedStyle(document.querySelector('#pan')).transform).a"))

    before = scale()
    page.mouse.move(600, 450)
    page.mouse.wheel(0, -400)
    page.wait_for_function("s => new DOMMatrix(getComputedStyle(document.querySelector('#pan')).transform).a > s", arg=before)
    page.keyboard.press("f")
    assert scale() == pytest.approx(before)
    for text in ("no object", "huge errors", "mostly sensible", "only minor boundary errors", "no visible error"):
        expect(page.locator(".band p", has_text=text)).to_be_in_viewport(ratio=1)
    page.keyboard.press("?")
    expect(page.locator("#helping")).to_be_visible()
    page.keyboard.press("5")  # a dialog is open: that is no rating
    page.keyboard.press("Escape")
    assert site.n_given() == 0
    assert page.locator("button:visible").evaluate_all("all => all.filter(b => !(b.ariaLabel || b.textContent.trim())).length") == 0


def test_without_a_connection_nothing_is_lost_and_nothing_goes_on(site: Site, pages: Callable[..., Page]) -> None:
    page = pages()
    page.goto(site.link(site.rater()))
    ready(page)
    first = slot(page)
    page.context.set_offline(True)
    page.keyboard.press("8")
    expect(page.locator("#trouble")).to_contain_text("No connection")
    page.keyboard.press("3")
    assert slot(page) == first
    assert site.n_given() == 0
    page.context.set_offline(False)
    rated(page, 1)
    assert site.scores() == ["8"]
    expect(page.locator("#trouble")).to_be_hidden()
    # The tab is closed while there is no connection; another opens the link when there is one again.
    page.context.set_offline(True)
    page.keyboard.press("4")
    expect(page.locator("#trouble")).to_contain_text("No connection")
    context = page.context
    page.close()
    context.set_offline(False)
    again = context.new_page()
    again.goto(site.link(site.queue.raters()[0]))
    rated(again, 2)
    assert site.scores() == ["8", "4"]


def test_an_answer_that_is_lost_on_its_way_is_asked_for_again(site: Site, pages: Callable[..., Page]) -> None:
    page = pages()
    page.goto(site.link(site.rater()))
    ready(page)
    lost = []

    def lose(route: Any) -> None:
        route.fetch()  # it reaches the server
        lost.append(1)
        route.abort() if len(lost) < 3 else route.continue_()

    page.route("**/rate", lambda route: lose(route) if route.request.method == "POST" else route.continue_())
    page.keyboard.press("6")
    rated(page, 1)
    assert len(lost) == 3
    assert site.scores() == ["6"]


def test_two_tabs_the_back_button_and_a_double_click_give_one_rating(site: Site, pages: Callable[..., Page]) -> None:
    one = pages()
    link = site.link(site.rater())
    one.goto(link)
    ready(one)
    two = one.context.new_page()
    two.goto(link)
    ready(two)
    assert slot(one) == slot(two)
    one.keyboard.press("9")
    rated(one, 1)
    two.keyboard.press("2")
    expect(two.locator("#said")).to_contain_text("rated already: 9 stays")
    rated(two, 1)
    assert slot(one) == slot(two)
    two.goto(f"{link}/guidelines")
    two.go_back()
    ready(two)
    assert slot(one) == slot(two)
    two.locator("button[value='7']").dblclick()
    rated(two, 2)
    two.wait_for_timeout(600)
    assert site.scores() == ["9", "7"]
    one.bring_to_front()
    one.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    in_time(lambda: slot(one) == slot(two))


def test_a_phone_in_the_dark(site: Site, pages: Callable[..., Page]) -> None:
    page = pages(390, 844, has_touch=True, is_mobile=True, color_scheme="dark")
    page.goto(site.link(site.rater()))
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth <= 390 && document.documentElement.scrollHeight <= 844")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(ground) < 64
    for button in page.locator(".scores button").all():
        expect(button).to_be_in_viewport(ratio=1)
        box = button.bounding_box()
        assert box
        assert box["height"] >= 40
        assert box["width"] >= 40
    for text in page.locator(".band p").all():
        expect(text).to_be_in_viewport(ratio=1)
    page.locator("button[value='10']").tap()
    rated(page, 1)
    assert site.scores() == ["10"]
    page.set_viewport_size({"width": 844, "height": 390})
    for button in page.locator(".scores button, .view").all():
        expect(button).to_be_in_viewport(ratio=0.95)
    stage = page.locator("#stage").bounding_box()
    assert stage
    assert stage["height"] > 120


def test_a_break_is_proposed_and_costs_nothing(site: Site, pages: Callable[..., Page]) -> None:
    site.app.state.settings = replace(site.app.state.settings, break_min=0.001)
    page = pages()
    page.goto(site.link(site.rater()))
    ready(page)
    page.keyboard.press("7")
    expect(page.locator("#resting")).to_contain_text("Time for a break?")
    page.keyboard.press("3")  # the dialog is open: that is no rating
    page.keyboard.press("Enter")
    expect(page.locator("#resting")).to_be_hidden()
    rated(page, 1)
    assert site.scores() == ["7"]


def test_a_pause_a_closed_link_and_the_leads_page(site: Site, pages: Callable[..., Page]) -> None:
    rater, page, lead = site.rater(), pages(), pages()
    page.goto(site.link(rater))
    ready(page)
    lead.on("dialog", lambda dialog: dialog.accept())
    lead.goto(f"{site.listening.address}/lead/open/{lead_token(site.database)}")
    assert lead.url.endswith("/lead")
    lead.click("text=Pause")
    page.keyboard.press("5")
    expect(page.locator("h1")).to_have_text("A pause")
    assert site.scores() == ["5"]
    lead.click("text=Go on")
    page.click("text=Look again")
    rated(page, 1)
    lead.fill("#names", "Grace, Katherine")
    lead.click("text=Make links")
    assert lead.locator("tbody tr", has_text="Katherine").count() == 1
    lead.locator("tr", has_text="r01").locator("text=Revoke").click()
    expect(lead.locator("tr.closed")).to_contain_text("r01")
    page.keyboard.press("6")
    expect(page.locator("#trouble")).to_contain_text("mistyped, or closed")
    assert site.scores() == ["5"]


def test_without_scripts_the_forms_are_enough(site: Site, pages: Callable[..., Page]) -> None:
    page = pages(java_script_enabled=False)
    page.goto(site.link(site.rater()))
    before = slot(page)
    page.click("button[value='4']")
    assert slot(page) != before
    page.click("#undo")
    assert slot(page) == before
    assert site.n_given() == 0
