"""A page in a real browser: what a reader with a screen of this width gets, measured by a script in the page."""

from __future__ import annotations

import json
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=5000",
    "--window-size=1300,1000",
    "--dump-dom",
)
DARK = "--blink-settings=preferredColorScheme=0"

PROBE = """
window.addEventListener("load", () => {
  const rgb = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = color => rgb(color).map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const contrast = color => (Math.max(light(color), ground) + .05) / (Math.min(light(color), ground) + .05);
  const smallest = values => values.length ? Math.min(...values) : null;
  const closed = [...document.querySelectorAll("details:not([open])")].length;
  document.querySelectorAll("details").forEach(details => details.open = true);
  const figures = [...document.querySelectorAll("figure svg")].map(svg => {
    const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent.trim());
    const boxes = texts.map(text => text.getBoundingClientRect());
    const overlaps = boxes.flatMap((a, i) => boxes.slice(i + 1).map((b, j) => [a, b, i, i + 1 + j])).filter(([a, b]) =>
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3).map(([a, b, i, j]) =>
        texts[i].textContent + " / " + texts[j].textContent);
    return {
      label: svg.getAttribute("aria-label"), width: box.width, height: box.height, overlaps,
      texts: texts.map(text => text.textContent),
      smallest_text: smallest(texts.map(text => parseFloat(getComputedStyle(text).fontSize) * scale)),
      weakest_text: smallest(texts.map(text => contrast(getComputedStyle(text).fill))),
      outside: texts.filter((text, i) => boxes[i].right > box.right + 8 || boxes[i].left < box.left - 8)
        .map(text => text.textContent),
    };
  });
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), sizes = [], contrasts = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (walker.currentNode.textContent.trim() && !parent.closest("svg, style, script")) {
      sizes.push(parseFloat(getComputedStyle(parent).fontSize));
      contrasts.push(contrast(getComputedStyle(parent).color));
    }
  }
  parent.postMessage(JSON.stringify({
    width: innerWidth, page_width: document.documentElement.scrollWidth, closed, figures,
    dark: ground < .2, smallest_text: smallest(sizes), weakest_text: smallest(contrasts),
    loaded: performance.getEntriesByType("resource").map(entry => entry.name),
  }), "*");
});
"""

FRAME = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><pre id="seen"></pre>
<script>addEventListener("message", event => document.getElementById("seen").textContent = event.data);</script>
<iframe src="{page}" style="width: {width}px; height: 900px; border: 0"></iframe>"""
"""A window cannot be as narrow as a phone; a frame can."""


def find_browser() -> str | None:
    """The first of the known browsers that is installed."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


def look_at(page: Path, width: int, folder: Path, *, dark: bool = False) -> dict[str, Any]:
    """What the browser shows of a page at this width, with everything unfolded, and what its console says."""
    probed = folder / f"probed-{width}-{dark}.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("</head>") == 1
    probed.write_text(text.replace("</head>", f"<script>{PROBE}</script></head>"), encoding="utf-8")
    frame = folder / f"frame-{width}-{dark}.html"
    frame.write_text(FRAME.format(page=probed.name, width=width), encoding="utf-8")
    command = [find_browser(), *OPTIONS, *([DARK] if dark else []), f"--user-data-dir={folder / 'profile'}"]
    shown = subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=120)
    seen = unescape(shown.stdout.partition('<pre id="seen">')[2].partition("</pre>")[0])
    assert seen, shown.stderr[-2000:]
    return json.loads(seen) | {"console": [line for line in shown.stderr.splitlines() if "CONSOLE" in line]}
