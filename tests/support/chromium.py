"""Chromium without a window: takes pictures of pages, and measures them; tests that need it are skipped without it."""

import os
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Final

import pytest

from tests.support.cli import ROOT

ALBUM: Final = ROOT / "build" / "screenshots"
"""Where pictures are kept for people to look at; git ignores it."""
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE: Final = 60


class Chromium:
    """Runs with a profile of its own in a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    def picture(self, name: str, html: str, *, width: int, height: int = 1_900, dark: bool = False) -> Path:
        """Return a picture of a page as PNG, kept under a name."""
        ALBUM.mkdir(parents=True, exist_ok=True)
        path = ALBUM / f"{name}.png"
        path.unlink(missing_ok=True)
        scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        self._run(html, f"--screenshot={path}", f"--window-size={width},{height}", "--hide-scrollbars", *scheme)
        return path

    def width(self, html: str, *, width: int) -> int:
        """Return how wide a page is in a frame: more than the frame where it must be scrolled sideways.

        A window of Chromium is never as narrow as a phone.
        """
        measured = (
            f'<!doctype html><title></title><iframe srcdoc="{escape(html)}" style="border: 0" width="{width}" '
            'height="900" onload="document.title = this.contentDocument.documentElement.scrollWidth"></iframe>'
        )
        dom = self._run(measured, "--dump-dom")
        found = re.search(r"<title>(\d+)</title>", dom)
        assert found, dom
        return int(found[1])

    def _run(self, html: str, *options: str) -> str:
        page = self._folder / "page.html"
        page.write_text(html, "utf-8")
        command = [
            self._program, "--headless", "--disable-gpu", f"--user-data-dir={self._folder / 'profile'}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []), *options, page.as_uri(),
        ]  # fmt: skip
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def chromium(folder: Path) -> Chromium:
    """Return Chromium, or skip the test where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium here")
    return Chromium(program, folder)
