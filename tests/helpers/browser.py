"""A real browser without a window: what a page is after its script ran, and how it looks."""

from __future__ import annotations

import shutil
import subprocess

import pytest

__all__ = ["Browser"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Browser:
    """Chromium on pages of one folder; skips the test where none is installed."""

    def __init__(self, folder):
        self.folder = folder
        self.program = next((path for name in NAMES if (path := shutil.which(name))), None)
        if self.program is None:
            pytest.skip("no Chromium is installed (apt-get install chromium)")

    def _run(self, *options):
        fixed = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        profile = f"--user-data-dir={self.folder / 'profile'}"
        done = subprocess.run(
            [self.program, *fixed, profile, *options], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def dom(self, html, script="", width=1280):
        """The page as HTML after its own script and then this one ran."""
        page = self.folder / "driven.html"
        driven = html.replace("</body>", f"<script>{script}</script></body>")
        page.write_text(driven, encoding="utf-8")
        return self._run("--dump-dom", f"--window-size={width},900", page.as_uri())

    def value(self, html, expression, width=1280):
        """What a JavaScript expression is on the page, as text."""
        script = f"document.title = 'value: ' + ({expression});"
        return self.dom(html, script, width).split("<title>value: ")[1].split("</title>")[0]

    def screenshot(self, path, target, width, height, dark=False):
        options = ["--blink-settings=preferredColorScheme=0"] if dark else []
        size = f"--window-size={width},{height}"
        self._run(*options, size, f"--screenshot={target}", path.as_uri())
