"""Chromium for tests of pages: Debian's own, driven by Playwright. See `make browser`."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

_HOW = "chromium is not here: run `make browser`"


def need_browser() -> str:
    """Path of the browser; skips the test where it is missing, and fails it in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("HUB_TFX_REQUIRE_ENGINES"):
            pytest.fail(_HOW)
        pytest.skip(_HOW)
    return found


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A browser without a window."""
    path = need_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium has no sandbox of its own for root, as whom containers run.
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """URL of an application while it is served on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def quantised(png: Path, colours: int = 64) -> None:
    """Writes a screenshot again with few colours, which take little room."""
    from PIL import Image

    with Image.open(png) as image:
        small = image.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    small.save(png, optimize=True)
