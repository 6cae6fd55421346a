"""A headless Chromium, asked over a pair of pipes by the DevTools protocol; no library needed.

Chromium is Debian's package: `apt-get install chromium`.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

CHROMIUM = shutil.which("chromium")
HINT = "no chromium on PATH; on Debian: apt-get install chromium"
_FLAGS = (
    "--headless=new --no-sandbox --no-first-run --no-default-browser-check --hide-scrollbars "
    "--disable-background-networking --disable-dev-shm-usage --enable-unsafe-swiftshader "
    "--force-color-profile=srgb --remote-debugging-pipe"
)
TEXT = """(() => {
  const told = node => {
    if (node.nodeType === Node.TEXT_NODE) return node.textContent;
    if (node.nodeType !== Node.ELEMENT_NODE && node.nodeType !== Node.DOCUMENT_FRAGMENT_NODE)
      return '';
    if (['SCRIPT', 'STYLE', 'TEMPLATE', 'DOM-MODULE'].includes(node.tagName)) return '';
    if (node.tagName && getComputedStyle(node).display === 'none') return '';
    const inner = node.shadowRoot ? [...node.shadowRoot.childNodes] : [];
    const frame = node.tagName === 'IFRAME' && node.contentDocument
      ? [node.contentDocument.body] : [];
    return [...inner, ...frame, ...node.childNodes].map(told).join(' ');
  };
  return document.body === null ? '' : told(document.body).replace(/\\s+/g, ' ');
})()"""
"""What can be read on a page, also below shadow roots and in frames of its own."""


def assert_legible(picture: Path) -> None:
    """Fail where a photograph shows next to nothing: one colour, or hardly any edges."""
    with Image.open(picture) as image:
        grey = np.asarray(image.convert("L"), np.int16)
    assert min(grey.shape) > 500, f"{picture.name}: {grey.shape}"
    edges = float((np.abs(np.diff(grey, axis=1)) > 40).mean())
    assert edges > 0.004, f"{picture.name}: {100 * edges:.2f} % of its pixels are edges"


class Browser:
    """One page of a headless Chromium; use it in a `with` statement."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900) -> None:
        """Start it with an empty profile and a window of so many px."""
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        size = f"--window-size={width},{height}"
        program = [CHROMIUM or "chromium", *_FLAGS.split(), size, f"--user-data-dir={profile}"]
        script = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, *program, "about:blank"],
            pass_fds=(their_in, their_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._buffer, self._number, self._session = b"", 0, ""
        self.told: list[str] = []

    def __enter__(self) -> Self:
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attach = {"targetId": page["targetId"], "flatten": True}
        self._session = self._ask("Target.attachToTarget", **attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)

    def open(self, address: str) -> None:
        """Go to a page; `wait` tells when it shows what it must."""
        self._ask("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression on the page; raise where it throws."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression[:80]}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, expression: str, timeout_s: float = 60.0) -> Any:
        """Return the expression's value as soon as it is true; fail with the page's text."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if found := self.value(expression):
                return found
            time.sleep(0.2)
        raise AssertionError(f"never true: {expression}; the page says: {self.text()[:3000]}")

    def shows(self, *words: str) -> str:
        """Wait until the page shows all `words`, and return its text."""
        text = TEXT.replace("\n", " ")
        self.wait(f"(text => {json.dumps(words)}.every(word => text.includes(word)))({text})")
        return self.text()

    def settle(self, quiet_s: float = 3.0) -> None:
        """Give animations and pictures time to end."""
        time.sleep(quiet_s)

    def text(self) -> str:
        """Return what can be read on the page."""
        return str(self.value(TEXT))

    def photograph(self, path: Path) -> Path:
        """Write what the window shows as PNG."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))
        return path

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        found: dict[str, Any] = answer["result"]
        return found

    def _message(self, timeout_s: float = 60.0) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], timeout_s)[0]:
                raise TimeoutError(f"chromium said nothing for {timeout_s:g} s")
            piece = os.read(self._in, 2**20)
            if not piece:
                raise RuntimeError(f"chromium ended with {self._process.wait(20)}")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, message: dict[str, Any]) -> None:
        """Keep what the page told its console."""
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.told.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning"):
                self.told.append(str([part.get("value") for part in params["args"]]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.told.append(params["entry"]["text"])
