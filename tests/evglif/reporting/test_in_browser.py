"""The page in a real browser: all of it is there, in any width, light and dark, and nothing is asked for elsewhere."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from evglif.reporting import read_run, write_report
from preprocessing.cache import FrameCache

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if BROWSER is None:
    pytest.skip("needs chromium", allow_module_level=True)

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--dump-dom",
    "--virtual-time-budget=10000",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

LOOK = """<!doctype html><meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">
<iframe src="report.html" style="border:0; width:{width}px; height:900px"></iframe><pre></pre>
<script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const seen = (each) => each.getBoundingClientRect().width > 50 && each.getBoundingClientRect().height > 5;
  const texts = [...page.querySelectorAll("p, td, dd, figcaption, pre")];
  document.querySelector("pre").textContent = JSON.stringify({{
    width: root.scrollWidth, charts: page.querySelectorAll("figure svg").length,
    chartsSeen: [...page.querySelectorAll("figure svg")].filter(seen).length,
    images: page.images.length, imagesSeen: [...page.images].filter((each) => each.naturalWidth && seen(each)).length,
    paper: getComputedStyle(root).backgroundColor, ink: getComputedStyle(root).color,
    smallest: Math.min(...texts.map((each) => parseFloat(getComputedStyle(each).fontSize))),
    scripts: page.scripts.length,
  }});
}};
</script>"""


class Handler(SimpleHTTPRequestHandler):
    """Notes what is asked for."""

    def __init__(self, *arguments, asked, **options):
        self.asked = asked
        super().__init__(*arguments, **options)

    def log_message(self, *_):
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder, its address, and what was asked of it."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()
    handler = partial(Handler, directory=str(folder), asked=asked)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/look.html", asked
        server.shutdown()
        thread.join()


def looked_at(served, width, dark=False):
    """What a browser of that width finds on the page, and what it complains of."""
    folder, url, _ = served
    (folder / "look.html").write_text(LOOK.format(width=width))
    scheme = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    command = [BROWSER, *OPTIONS, *scheme, f"--user-data-dir={folder.parent / 'profile'}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = re.findall(r":CONSOLE[:(].*", done.stderr)
    return json.loads(html.unescape(re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)[1])), told


@pytest.mark.parametrize(("width", "dark"), [(400, False), (1600, True)])
def test_the_page_is_whole_in_a_browser(served, run, cache_path, width, dark):
    folder, _, asked = served
    shutil.copy(run / "report.html", folder / "report.html")
    found, told = looked_at(served, width, dark)
    assert told == []
    assert set(asked) == {"/look.html", "/report.html"}
    assert found["charts"] == found["chartsSeen"] >= 12
    with FrameCache(cache_path) as cache:
        assert found["images"] == found["imagesSeen"] >= len(cache.classes)
    assert found["width"] <= width
    assert found["smallest"] >= 12
    assert (found["paper"], found["ink"]) == (
        ("rgb(21, 24, 28)", "rgb(232, 234, 237)") if dark else ("rgb(255, 255, 255)", "rgb(27, 31, 36)")
    )


def test_the_browser_tells_of_what_a_page_asks_for(served):
    """So that the silence of the others means something."""
    folder, _, _ = served
    start = '<!doctype html><meta http-equiv="Content-Security-Policy" content="img-src data:">'
    (folder / "report.html").write_text(f"{start}<img src=http://example.invalid/x.png><script>unknown()</script>")
    _, told = looked_at(served, 400)
    assert len(told) == 2


def test_names_in_the_page_run_nothing(served, hostile, cache_path):
    folder, _, asked = served
    with FrameCache(cache_path) as cache:
        write_report(read_run(hostile), folder / "report.html", cache)
    found, told = looked_at(served, 400)
    assert (told, found["scripts"], set(asked)) == ([], 0, {"/look.html", "/report.html"})
    assert found["width"] <= 400
    assert found["images"] == found["imagesSeen"]
