"""Opening a page in headless Chromium: what its console says, its images, and whether it is wider than its window."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "opened", "screenshot"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The program; None where it is not installed."""

PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.src || event.target.href)), true);
addEventListener("load", () => parent.postMessage({
  errors,
  images: [...document.images].map(image => image.naturalWidth),
  wide: document.scrollingElement.scrollWidth,
  inner: innerWidth,
  loaded: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith("data:")),
}, "*"));
</script>"""

FRAME = """<!doctype html><meta charset="utf-8"><body style="margin: 0"><pre id="found" hidden></pre>
<script>addEventListener("message", event => {{ found.textContent = JSON.stringify(event.data); }});</script>
<iframe src="{page}" style="border: 0; display: block; width: {width}px; height: {height}px"></iframe>"""


def opened(page: Path, width: int, folder: Path) -> dict[str, Any]:
    """What a page finds of itself in a window of this width, and the lines on the console.

    Args:
        page: an HTML file.
        width: in pixels; narrower than the narrowest window of the program, since the page is put into a frame.
        folder: a folder for a copy of the page with a probe.
    """
    done = _run(_framed(page, width, 1000, folder), width, 1000, "--dump-dom", "--virtual-time-budget=10000")
    found = re.search(r'<pre id="found" hidden="">(.+?)</pre>', done.stdout)
    assert found, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(unescape(found[1])) | {"console": console}


def screenshot(page: Path, width: int, height: int, out: Path) -> Path:
    """Write a picture of the top of a page in a window of this size."""
    _run(_framed(page, width, height, out.parent), width, height, f"--screenshot={out}")
    return out


def _framed(page: Path, width: int, height: int, folder: Path) -> Path:
    copy, frame = folder / f"probed-{page.name}", folder / f"frame-{width}.html"
    content = page.read_text(encoding="utf-8")
    assert "<head>" in content
    copy.write_text(content.replace("<head>", "<head>" + PROBE, 1), encoding="utf-8")
    frame.write_text(FRAME.format(page=copy.name, width=width, height=height), encoding="utf-8")
    return frame


def _run(page: Path, width: int, height: int, *words: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    size = f"--window-size={max(width, 500)},{height}"
    command = [CHROMIUM, *options, size, *words, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
