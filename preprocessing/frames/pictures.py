"""Still pictures: any image to brightness from 0 to 1, at the size that is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from preprocessing import limits
from preprocessing.events import RecordingError

if TYPE_CHECKING:
    from PIL import Image

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a colour picture (ITU-R BT.601)."""

GREY_MODES = ("1", "L", "LA")
"""Pillow's modes of images without colour."""

_ORIENTATION = 0x0112  # of EXIF
_SIDEWAYS = 5  # orientations from here on exchange width and height

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is read, told by content: of others, such as EPS, Pillow would start outside programs."""

RESIZINGS = {"bicubic": 2, "bilinear": 1}
"""Name of an interpolation → how many pixels its kernel reaches to either side."""


@dataclass(frozen=True)
class PictureSettings:
    """How a picture becomes a frame: brought to a size, then cut from the middle.

    Attributes:
        size: (width, height) of the frame, px.
        channels: 1 for grey, 3 for red, green and blue.
        shorter_side: what the picture's shorter side is brought to before, px; by default just enough to cover the
            frame, so that a picture of the frame's size stays as it is.
        resizing: "bilinear" or "bicubic"; both average where a picture gets smaller.

    Raises:
        ValueError: naming the value that is out of range.
    """

    size: tuple[int, int]
    channels: int = 3
    shorter_side: int | None = None
    resizing: str = "bilinear"

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size is (width, height), each at least 1 px, got {self.size}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels are 1 (grey) or 3 (red, green, blue), got {self.channels}")
        if self.shorter_side is not None and self.shorter_side < max(self.size):
            least = "{}×{}".format(*self.size)
            raise ValueError(f"a shorter side of {self.shorter_side} px cannot hold a frame of {least}; raise it")
        if self.resizing not in RESIZINGS:
            raise ValueError(f"unknown resizing {self.resizing!r}; choose one of {', '.join(RESIZINGS)}")


def intensities(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """The brightness ``[H, W]`` of a picture ``[H, W]`` or ``[H, W, 3]`` (red, green, blue), from 0 to 1.

    Raises:
        ValueError: neither uint8 (0 to 255) nor float (0 to 1), or of another shape or range.
    """
    if image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise ValueError(f"a picture has the shape [height, width] or [height, width, 3], got {list(image.shape)}")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"a picture is uint8 (0 to 255) or float (0 to 1), got {image.dtype}")
    values = image.astype(np.float64)
    if image.dtype == np.uint8:
        values /= 255
    elif not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"a float picture lies in [0, 1], got {values.min():g} to {values.max():g}; rescale it")
    luma: NDArray[np.float64] = values if values.ndim == 2 else values @ np.array(LUMA)
    return luma


def resized(values: NDArray[np.float64], size: tuple[int, int], resizing: str) -> NDArray[np.float64]:
    """A picture ``[H, W]`` brought to ``size`` = (rows, columns), within [0, 1].

    Pixel centres lie at halves. Enlarging interpolates; reducing also averages over what becomes one pixel.

    Args:
        values: brightness from 0 to 1.
        size: the new height and width.
        resizing: "bicubic" (Keys 1981, a = −1/2, as image programs enlarge) or "bilinear".
    """
    down, across = (_weights(old, new, resizing) for old, new in zip(values.shape, size, strict=True))
    picture: NDArray[np.float64] = (down @ values @ across.T).clip(0, 1)
    return picture


def _weights(num_old: int, num_new: int, resizing: str) -> NDArray[np.float64]:
    """How much of each old pixel a new one takes ``[num_new, num_old]``; the picture goes on as its edge pixels."""
    scale = max(1.0, num_old / num_new)
    reach = int(np.ceil(RESIZINGS[resizing] * scale)) + 1
    centre = (np.arange(num_new) + 0.5) * num_old / num_new - 0.5
    taken = np.floor(centre).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    distance = np.abs(centre[:, None] - taken) / scale
    weight = _cubic(distance) if resizing == "bicubic" else (1 - distance).clip(0)
    weights = np.zeros((num_new, num_old))
    np.add.at(weights, (np.arange(num_new)[:, None], taken.clip(0, num_old - 1)), weight)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight: NDArray[np.float64] = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weight


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read an image file as ``[H, W]`` or ``[H, W, 3]`` (red, green, blue), upright as its camera noted.

    Raises:
        RecordingError: it cannot be read, or has more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_depth(image)
            num_bytes = image.width * image.height * len(image.getbands())
            if problem := limits.problem(num_bytes, path.stat().st_size):
                raise RecordingError(f"{image.width}×{image.height} px, which {problem}")
            image.load()
            mode = "L" if image.mode in GREY_MODES else "RGB"
            upright = ImageOps.exif_transpose(image) if _turned(image) else image
            return np.asarray(upright if upright.mode == mode else upright.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"cannot be read as an image ({error})") from error


def picture_form(path: Path) -> tuple[tuple[int, int], int]:
    """The (width, height) in px of an image file, upright, and its channels: 1 for grey, else 3.

    Raises:
        RecordingError: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            _check_depth(image)
            width, height = image.size
            turned_sideways = _turned(image) >= _SIDEWAYS
            return (height, width) if turned_sideways else (width, height), 1 if image.mode in GREY_MODES else 3
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(f"cannot be read as an image ({error})") from error


def _check_depth(image: Image.Image) -> None:
    if image.mode.startswith(("I", "F")):
        raise RecordingError(f"an image of mode {image.mode}; save it with 8 bits a channel")


def _turned(image: Image.Image) -> int:
    """The EXIF orientation, from 2 to 8, that a camera noted; 0 for an upright image."""
    if "exif" not in image.info and image.format == "PNG":  # else Pillow would look for it behind the pixels
        return 0
    orientation = image.getexif().get(_ORIENTATION, 1)
    return int(orientation) if orientation in range(2, 9) else 0


def framed(picture: NDArray[np.uint8], settings: PictureSettings) -> NDArray[np.uint8]:
    """A picture ``[H, W]`` or ``[H, W, 3]`` as a frame ``[C, H, W]``: resized, cut from the middle, grey or in colour.

    Sizes and places are rounded as in the usual evaluation on ImageNet (shorter side 256, centre 224), so that they
    are the same pixels.
    """
    grey = picture if picture.ndim == 2 else None
    if picture.shape[1::-1] != settings.size or (grey is None) != (settings.channels == 3):
        picture = _fitted(picture, settings)
    return np.ascontiguousarray(picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1))


def _fitted(picture: NDArray[np.uint8], settings: PictureSettings) -> NDArray[np.uint8]:
    from PIL import Image

    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    image = Image.fromarray(picture).convert("L" if settings.channels == 1 else "RGB")
    size = _before_cut((image.width, image.height), settings)
    if size != (image.width, image.height):
        image = image.resize(size, filters[settings.resizing])
    left, top = (round((whole - part) / 2) for whole, part in zip(size, settings.size, strict=True))
    return np.asarray(image.crop((left, top, left + settings.size[0], top + settings.size[1])))


def _before_cut(size: tuple[int, int], settings: PictureSettings) -> tuple[int, int]:
    """The (width, height) that a picture is resized to."""
    if settings.shorter_side is None:
        scale = max(wanted / side for wanted, side in zip(settings.size, size, strict=True))
        width, height = (max(round(s * scale), w) for s, w in zip(size, settings.size, strict=True))
    else:
        width, height = (settings.shorter_side * side // min(size) for side in size)
    return width, height
