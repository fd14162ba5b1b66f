import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from preprocessing.drawing import literal, optional_picture, save


def pixels(text, **options):
    figure = Figure((6, 1))
    figure.text(0.05, 0.5, text, **options)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("name", ["Ba$$ drum", "a_b^c", "$x$", r"\frac", r"$\frac{$", r"5 \$", "$", "100 %", ""])
def test_names_are_drawn_letter_for_letter(name):
    np.testing.assert_array_equal(pixels(literal(name)), pixels(name, parse_math=False))


def test_a_name_with_two_dollars_is_a_formula_to_matplotlib():
    """Else there were nothing to test here."""
    with pytest.raises(ValueError, match=r"\$\$ drum"):
        pixels("Ba$$ drum")


def test_a_picture_that_fails_is_a_warning_that_names_it(tmp_path, capsys):
    picture = tmp_path / "out.png"
    picture.write_bytes(b"of something else")
    with optional_picture(picture, "draw it again"):
        raise RuntimeError("in two\nlines")
    assert capsys.readouterr().err == f"warning: {picture} could not be drawn: in two lines; draw it again\n"
    assert not picture.exists()


def test_a_picture_that_is_interrupted_is_no_warning(tmp_path):
    with pytest.raises(KeyboardInterrupt), optional_picture(tmp_path / "out.png", ""):
        raise KeyboardInterrupt


def test_letters_that_the_font_lacks_are_told_once(tmp_path, capsys):
    figure = Figure()
    figure.text(0, 0, "猫猫")
    save(figure, tmp_path / "out.png")
    told = capsys.readouterr().err
    assert told.startswith(f"note: {tmp_path / 'out.png'}: Glyph 29483")
    assert told.count("\n") == 1
    assert (tmp_path / "out.png").exists()
