"""A headless Chromium, driven over the Chrome DevTools Protocol: what a person would do on a page, and what the page did."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.system.running import wait_for

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALL: Final = "no Chromium on the PATH: install one (Debian: apt-get install chromium), or name it in CHROMIUM"

LIMIT: Final = 30.0
"""Seconds that anything on a page may take before the test fails."""


def chromium() -> str:
    """The program, "" when there is none."""
    return next(filter(None, map(shutil.which, filter(None, (os.environ.get("CHROMIUM"), *NAMES)))), "")


def is_noise(entry: dict[str, Any]) -> bool:
    """Chromium tells of every answer of 400 and more in the console; that is no fault of the page."""
    return entry.get("source") == "network" and "the server responded with a status of" in entry.get("text", "")


@dataclass
class Page:
    """One tab."""

    socket: aiohttp.ClientWebSocketResponse
    requests: list[str] = field(default_factory=list)
    """URL of every request it made."""
    faults: list[str] = field(default_factory=list)
    """Errors and warnings in its console, exceptions nobody caught, and violations of its policy."""
    _number: int = 0
    _loads: int = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; events that come meanwhile are taken note of."""
        self._number += 1
        await self.socket.send_json({"id": self._number, "method": method, "params": parameters})
        async with asyncio.timeout(LIMIT):
            while True:
                said = json.loads((await self.socket.receive(LIMIT)).data)
                if said.get("id") == self._number:
                    assert "error" not in said, f"{method}: {said['error']}"
                    result: dict[str, Any] = said["result"]
                    return result
                self._note(said.get("method", ""), said.get("params", {}))

    def _note(self, event: str, said: dict[str, Any]) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requests.append(said["request"]["url"])
            case "Runtime.exceptionThrown":
                self.faults.append(json.dumps(said["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if said["type"] in ("error", "warning", "assert"):
                self.faults.append(json.dumps(said["args"]))
            case "Log.entryAdded" if said["entry"]["level"] in ("error", "warning") and not is_noise(said["entry"]):
                self.faults.append(json.dumps(said["entry"]))
            case "Page.loadEventFired":
                self._loads += 1

    async def open(self, url: str) -> None:
        """Goes to another page; returns when it has loaded."""
        loads = self._loads
        await self.call("Page.navigate", url=url)
        async with asyncio.timeout(LIMIT):
            while self._loads == loads:
                await self.call("Runtime.evaluate", expression="0")

    async def value(self, expression: str) -> Any:
        """What JavaScript makes of an expression; promises are awaited."""
        said = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, expression: str) -> None:
        """Waits until an expression is true."""
        async with asyncio.timeout(LIMIT):
            while not await self.value(f"Boolean({expression})"):
                await self.value("new Promise(requestAnimationFrame)")

    async def text(self, selector: str) -> str:
        """The text of an element, once it is there."""
        await self.until(f"document.querySelector({json.dumps(selector)})")
        return str(await self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def click(self, selector: str) -> None:
        """A real click in the middle of an element, as a mouse makes it."""
        await self.until(f"document.querySelector({json.dumps(selector)})?.checkVisibility()")
        x, y = await self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def type(self, selector: str, text: str) -> None:
        """Types into a field, in the place of what is there."""
        await self.click(selector)
        await self.value(f"document.querySelector({json.dumps(selector)}).select()")
        if text:
            await self.call("Input.insertText", text=text)
        else:
            await self.press("Backspace", 8)

    async def press(self, key: str, code: int = 0, text: str = "") -> None:
        """One key."""
        common = {"key": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> bytes:
        """A screenshot, as PNG."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=features)
        await self.value("new Promise(requestAnimationFrame)")
        shot = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """An empty tab of a browser whose files are in `folder`. It finds no host but this machine."""
    profile = folder / "browser"
    command = [
        chromium(),
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--no-sandbox",  # it runs as root in CI, and opens our own page only
        "--no-first-run",
        "--window-size=1280,900",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "about:blank",
    ]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: ASYNC220  at once
    try:
        port = await asyncio.to_thread(_port, process, profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _port(process: subprocess.Popen[bytes], file: Path) -> int:
    """The port of its debugger, which it writes into a file."""

    def written() -> bool:
        assert process.poll() is None, "Chromium ended"
        return file.exists() and "\n" in file.read_text()

    wait_for("Chromium", written, LIMIT)
    return int(file.read_text().splitlines()[0])
