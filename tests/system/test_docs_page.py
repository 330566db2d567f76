"""`/docs` as a person uses it: in a browser, against the real platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.system.browser import INSTALL, Page, browser, chromium
from tests.system.running import PASSWORD, Platform

pytestmark = [pytest.mark.drill, pytest.mark.skipif(not chromium(), reason=INSTALL)]

CREATE = "#Projects_CreateProject"
READY = "document.documentElement.dataset.ready"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("docs")).start()
    try:
        platform.join("ada@example.com")
        yield platform
    finally:
        platform.close()


@pytest.fixture
async def page(platform: Platform, tmp_path: Path) -> AsyncIterator[Page]:
    """The page, opened in a browser of its own; what it did is looked at in the end of every test."""
    async with browser(tmp_path) as page:
        await page.open(platform.api + "/docs")
        await page.until(READY)
        yield page
        assert page.faults == []
        assert [url for url in page.requests if not url.startswith(platform.api + "/")] == []


async def log_in(page: Page, password: str) -> None:
    await page.click("#authorize")
    await page.type("#by-password [name=email]", "ada@example.com")
    await page.type("#by-password [name=password]", password)
    await page.click("#by-password button")


async def test_it_shows_every_operation_of_the_document(platform: Platform, page: Page) -> None:
    document = platform.call("GET", "/v1/openapi.json").json
    wanted = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    shown = await page.value("[...document.querySelectorAll('details.method')].map((each) => each.id)")
    assert set(shown) == wanted
    assert len(shown) == len(wanted) > 50
    for name in sorted(wanted):  # each opens, and says what the document says
        assert await page.value(f"(document.getElementById('{name}').open = true)")
    await page.until("document.querySelectorAll('form.trial').length === document.querySelectorAll('.method').length")
    assert (
        await page.value("[...document.querySelectorAll('.method')].filter((e) => !e.querySelector('.marks')).length")
        == 0
    )


async def test_a_project_is_made_from_the_page(platform: Platform, page: Page) -> None:
    await page.click(f"{CREATE} > summary")
    await page.click(f"{CREATE} .trial button.main")
    assert (await page.text(f"{CREATE} .answer .status")).startswith("401 ")

    await log_in(page, "not the password at all")
    await page.until("document.querySelector('#login-fault').textContent")
    assert await page.value("document.querySelector('#login').open")
    await page.type("#by-password [name=password]", PASSWORD)
    await page.click("#by-password button")
    await page.until("!document.querySelector('#login').open")
    assert await page.text("#authorize") == "ada@example.com"

    await page.click(f"{CREATE} .trial button.main")
    await page.until(f"document.querySelector('{CREATE} .answer .s2')")
    assert (await page.text(f"{CREATE} .answer .status")).startswith("201 Created in ")
    headers = await page.text(f"{CREATE} .answer table")
    assert all(name in headers for name in ("etag", "ratelimit", "x-request-id"))
    assert (
        await page.value(f"JSON.parse(document.querySelector('{CREATE} .answer pre.body').textContent).name")
        == "Apollo"
    )
    assert "$TOKEN" in await page.value(f"document.querySelector('{CREATE} .answer').textContent")

    found = "#Projects_ListProjects"
    await page.click(f"nav a[href='{found}']")
    await page.click(f"{found} .trial button.main")
    await page.until(f"document.querySelector('{found} .answer .s2')")
    assert "Apollo" in await page.text(f"{found} .answer pre.body")


async def test_wrong_input_shows_each_fault(page: Page) -> None:
    await log_in(page, PASSWORD)
    await page.until("!document.querySelector('#login').open")
    await page.click(f"{CREATE} > summary")
    await page.type(f"{CREATE} textarea", '{"name": "<img src=x onerror=alert(1)>", "nam": 1, "labels": 7}')
    await page.click(f"{CREATE} .trial button.main")
    assert (await page.text(f"{CREATE} .answer .status")).startswith("422 ")
    faults = await page.text(f"{CREATE} .answer .faults")
    assert "/nam" in faults
    assert "/labels" in faults


async def test_signing_out_ends_the_session(platform: Platform, page: Page) -> None:
    await log_in(page, PASSWORD)
    await page.until("!document.querySelector('#login').open")
    me = platform.call("POST", "/v1/sessions", {"email": "ada@example.com", "password": PASSWORD}).json
    before = platform.call("GET", "/v1/sessions", token=me["access_token"]).json["sessions"]
    await page.click("#authorize")
    await page.click("#logout")
    await page.until("document.querySelector('#authorize').textContent === 'Authorize'")
    after = platform.call("GET", "/v1/sessions", token=me["access_token"]).json["sessions"]
    assert len(after) == len(before) - 1


async def test_search_leaves_what_fits(page: Page) -> None:
    await page.type("#search", "invitation accept")
    await page.until("document.querySelector('#found').textContent === '1 of ' + " + READY)
    visible = "[...document.querySelectorAll('{}')].filter((each) => each.checkVisibility()).map((each) => each.id)"
    assert await page.value(visible.format("details.method")) == ["Invitations_AcceptInvitation"]
    assert (
        await page.value("[...document.querySelectorAll('main section')].filter((e) => e.checkVisibility()).length")
        == 1
    )
    await page.type("#search", "organizations.members.remove")  # a permission
    await page.until("document.querySelector('#found').textContent.startsWith('1 of ')")
    await page.type("#search", "")
    await page.until("document.querySelector('#found').textContent === ''")
    assert len(await page.value(visible.format("details.method"))) > 50


async def test_an_address_leads_to_a_method(platform: Platform, page: Page) -> None:
    await page.open("about:blank")
    page.requests.clear()
    await page.open(platform.api + "/docs#Users_UpdateMe")
    await page.until("document.querySelector('#Users_UpdateMe')?.open")
    top = "document.querySelector('#Users_UpdateMe').getBoundingClientRect().top"
    await page.until(
        f"document.querySelector('header').getBoundingClientRect().bottom <= {top} && {top} < innerHeight / 2"
    )
    await page.value("location.hash = '#Sessions_CreateSession'")
    await page.until("document.querySelector('#Sessions_CreateSession').open")
    await page.until("document.querySelector('nav a[aria-current]')?.hash === '#Sessions_CreateSession'")


async def test_it_is_drawn_light_and_dark_wide_and_narrow(page: Page, tmp_path: Path) -> None:
    """Nothing sticks out to the side, and dark is dark. The pictures stay for who wants to look at them."""
    await page.click(f"{CREATE} > summary")
    for name, width, dark in (
        ("wide", 1400, False),
        ("dark", 1400, True),
        ("narrow", 360, False),
        ("tablet", 900, True),
    ):
        picture = await page.look(width=width, dark=dark)
        assert picture.startswith(b"\x89PNG")
        await asyncio.to_thread((tmp_path / f"{name}.png").write_bytes, picture)
        assert await page.value("document.documentElement.scrollWidth") <= width
        red, green, blue = await page.value(
            "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        )
        assert (red + green + blue < 3 * 64) == dark


async def test_a_script_in_an_answer_would_not_run(page: Page) -> None:
    """The policy holds in a real browser: the scripts of others, and text that becomes markup, are refused."""
    refused = "(() => { try { document.body.innerHTML = '<b>x</b>'; return false; } catch { return true; } })()"
    assert await page.value(refused)
    elsewhere = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert await page.value(elsewhere) == "refused"
    assert any("Content Security Policy" in fault for fault in page.faults)
    page.faults.clear()
    page.requests[:] = [url for url in page.requests if not url.startswith("http://127.0.0.1:9/")]
