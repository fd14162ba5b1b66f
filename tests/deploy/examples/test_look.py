"""The web page shows events in the colours of all other pictures."""

import re

from matplotlib.colors import to_rgb

from preprocessing.drawing import OFF, ON, REST
from tests.helpers.examples import EXAMPLES


def test_the_page_has_the_colours_of_the_pictures():
    style = (EXAMPLES / "web" / "style.css").read_text()
    named = {name: re.search(rf"--{name}: (#\w+);", style)[1].upper() for name in ("on", "off", "rest")}
    assert named == {"on": ON, "off": OFF, "rest": REST}
    drawn = re.search(
        r"\[OFF, ON, NOTHING\] = \[\[(.*?)\], \[(.*?)\], \[(.*?)\]\]", (EXAMPLES / "web" / "app.js").read_text()
    )
    levels = [[round(255 * part) for part in to_rgb(colour)] for colour in (OFF, ON, REST)]
    assert [[int(level) for level in group.split(",")] for group in drawn.groups()] == levels
