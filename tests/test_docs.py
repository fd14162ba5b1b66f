"""The site: it builds, its links lead somewhere, and what it shows was run."""

import json
import os
import re
import subprocess
import sys

import pytest

from scripts.docs.links import broken
from scripts.docs.notebooks import notebook_of
from tests.helpers import ROOT

pytest.importorskip("sphinx", exc_type=ImportError)

RUN = os.environ.get("EVGLIF_DOCS") == "run"
"""Whether the tutorials run what they show, which takes minutes; CI sets it."""


def test_the_site_builds_without_a_warning(tmp_path):
    options = [] if RUN else ["--quick"]
    line = [sys.executable, "-m", "scripts.docs", "--out", str(tmp_path / "site"), *options]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert broken(tmp_path / "site") == []
    assert (tmp_path / "site" / "searchindex.js").stat().st_size > 10_000
    for notebook in (tmp_path / "site" / "notebooks").iterdir():
        assert json.loads(notebook.read_text())["nbformat"] == 4
    if RUN:
        assert list((tmp_path / "site" / "_images").glob("*.png"))


def site(tmp_path, **pages):
    for name, body in pages.items():
        (tmp_path / f"{name}.html").write_text(f"<html><body>{body}</body></html>")
    return broken(tmp_path)


def test_links_that_lead_nowhere_are_found(tmp_path):
    found = site(
        tmp_path,
        a='<a href="b.html">x</a><a href="b.html#here">x</a><a href="b.html#there">x</a><a href="c.html">x</a>',
        b='<p id="here"><a href="http://example.org">x</a><a href="https://example.org">x</a></p>',
        d='<script src="https://example.org/a.js"></script><link rel="canonical" href="https://example.org">',
    )
    assert found == [
        "a.html links to b.html#there, but nothing there is called so",
        "a.html links to c.html, which is not there",
        "b.html links to http://example.org, which is not https",
        "d.html loads https://example.org/a.js from another server",
    ]


PAGE = """# A page

```{run} sh
:tail: 3
echo one
```

between

```{made} a.png
A picture.
```

```{run} python
print(2)
```
"""


def test_a_page_is_a_notebook_too():
    cells = notebook_of(PAGE)["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "markdown", "code", "code"]
    assert [cell["source"] for cell in cells] == [
        "# A page",
        "%%bash\necho one",
        "between",
        'from IPython.display import Image\n\nImage("a.png")',
        "print(2)",
    ]
    assert len({cell["id"] for cell in cells}) == 5


def sphinx(folder, page, run=1):
    (folder / "source").mkdir()
    (folder / "source" / "index.md").write_text(page)
    options = ["-q", "-W", "--no-color", "-c", str(ROOT / "scripts" / "docs"), "-D", f"evglif_run={run}"]
    line = [sys.executable, "-m", "sphinx", *options, str(folder / "source"), str(folder / "out")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    page = folder / "out" / "index.html"
    return done, page.read_text() if page.exists() else ""


def test_what_a_page_shows_was_run_once_in_a_folder_of_its_own(tmp_path):
    run = "```{run} sh\necho again >> kept.txt; wc -l < kept.txt; seq 10 20\n```\n"
    short = "```{run} sh\n:head: 1\n:tail: 1\nseq 10 20\n```\n"
    done, html = sphinx(tmp_path, f"# Page\n\n{run}\n{run}\n{short}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "source" / "_work" / "index" / "kept.txt").read_text() == "again\n"
    text = re.sub("<[^>]*>", "", html)
    assert text.count("1\n10\n11") == 2
    assert "10\n…\n20" in text


@pytest.mark.parametrize("code", ["false", "exit 3", "nonsense-command"])
def test_a_command_that_fails_ends_the_build(tmp_path, code):
    done, _ = sphinx(tmp_path, f"# Page\n\n```{{run}} sh\n{code}\n```\n")
    assert done.returncode != 0
    assert "ended with" in done.stderr


def test_a_failure_that_is_meant_must_happen(tmp_path):
    done, _ = sphinx(tmp_path, "# Page\n\n```{run} sh\n:fails:\ntrue\n```\n")
    assert done.returncode != 0


def test_nothing_is_run_where_that_is_not_asked_for(tmp_path):
    done, html = sphinx(tmp_path, "# Page\n\n```{run} sh\ntouch made\n```\n\n```{made} a.png\nPicture\n```\n", run=0)
    assert done.returncode == 0, done.stderr
    assert "touch made" in re.sub("<[^>]*>", "", html)
    assert not (tmp_path / "source" / "_work").exists()


def test_a_picture_that_was_not_made_ends_the_build(tmp_path):
    done, _ = sphinx(tmp_path, "# Page\n\n```{made} a.png\nPicture\n```\n")
    assert done.returncode != 0
    assert "made no a.png" in done.stderr
