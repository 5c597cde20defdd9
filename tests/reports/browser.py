"""Headless Chromium for tests, over the W3C WebDriver protocol and the standard library.

with Browser(folder) as browser:
    browser.open(page)
    browser.run("return document.title")
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.base.ports import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ABSENT = (
    None
    if CHROMIUM and DRIVER
    else "no chromium and chromedriver here (apt-get install chromium chromium-driver)"
)
# CI says HARNESS_BROWSER=required: there a missing browser is a failure, elsewhere it skips these tests.
SKIP = ABSENT if os.environ.get("HARNESS_BROWSER") != "required" else None

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
KEYS = {
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Left": "\ue012",
    "Up": "\ue013",
    "Right": "\ue014",
}
KEYS["Down"] = "\ue015"


class Browser:
    """One headless window of 1280 × 900 CSS pixels; `profile` is an empty folder for its files."""

    def __init__(self, profile: Path) -> None:
        self._port = free_port()
        self._flags = [*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900"]
        self._session = ""

    def __enter__(self) -> Browser:
        assert ABSENT is None, f"HARNESS_BROWSER=required, and {ABSENT}"
        command = [str(DRIVER), f"--port={self._port}", "--log-level=OFF"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_for_driver()
        options = {"args": self._flags, "binary": CHROMIUM}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._session:
                self._call("DELETE", self._session)
        finally:
            self._process.terminate()
            self._process.wait(timeout=20)

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a file from disk and wait for its `load` event."""
        self._call(
            "POST", f"{self._session}/url", {"url": "about:blank"}
        )  # a new fragment alone loads nothing
        self._call("POST", f"{self._session}/url", {"url": page.resolve().as_uri() + fragment})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a JavaScript function body returns."""
        return self._call(
            "POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)}
        )

    def emulate(self, width: int, height: int, *, dark: bool = False) -> None:
        """Another window: a phone's below 500 px. `dark` is what the system asks for."""
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.devtools("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        """One command of the DevTools protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def screenshot(self) -> bytes:
        """The window as a PNG file."""
        return base64.b64decode(self._call("GET", f"{self._session}/screenshot"))

    def pdf(self) -> bytes:
        """What a printer would get."""
        return base64.b64decode(self.devtools("Page.printToPDF", {"preferCSSPageSize": True})["data"])

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is: names of `KEYS`, or single characters."""
        codes = [KEYS.get(key, key) for key in keys]
        actions = [{"type": kind, "value": code} for code in codes for kind in ("keyDown", "keyUp")]
        body = {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        self._call("POST", f"{self._session}/actions", body)

    def wait_for(self, condition: str, seconds: float = 10) -> Any:
        """Run `return CONDITION` until it is true; AssertionError naming it otherwise."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(f"return {condition}"):
                return found
            time.sleep(0.05)
        raise AssertionError(f"not true within {seconds} s: {condition}")

    def errors(self) -> list[str]:
        """Messages of the console that are warnings or worse, since the last call."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in {"WARNING", "SEVERE"}]

    def _wait_for_driver(self) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                if self._call("GET", "/status")["ready"]:
                    return
            except OSError:
                assert time.monotonic() < end, "chromedriver does not answer"
            time.sleep(0.1)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data=content, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise AssertionError(f"{value['error']}: {value['message'].splitlines()[0]}") from None
