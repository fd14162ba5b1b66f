"""Images: any labelled pictures, recorded by a simulated event camera, as CIFAR10-DVS was made from CIFAR-10.

The recordings are AEDAT-2.0 files under the root, and from there on treated like any others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Dataset, Listing, Source, option
from preprocessing.datasets.simulated.base import Shot, content_digest, simulate_missing, stamped
from preprocessing.datasets.simulated.camera import CameraSettings
from preprocessing.datasets.splits import check_fraction, hold_out
from preprocessing.datasets.stills.labelled_images import LabelledImages, Row, read_labelled_images
from preprocessing.datasets.stills.picture_folders import find_pictures
from preprocessing.events import RecordingError
from preprocessing.frames.pictures import read_picture

_CAMERA = CameraSettings()


@dataclass(frozen=True)
class Images(Dataset):
    """Your own labelled images before a simulated 128×128 camera, 1.3 s each, as CIFAR10-DVS was made.

    Images lie in a folder as <class>/*.png (or .jpg and others), or as <split>/<class>/*.png with splits train,
    validation and test; or in an .npz file with images [N,H,W] or [N,H,W,3], labels [N] and, if wanted, classes
    and split [N]. Recordings are kept: the next build simulates only what is new or has changed.
    """

    name: ClassVar[str] = "images"
    example: ClassVar[str] = "--images photos"
    root: Path = field(
        metadata={
            **option("folder for the recordings; those that are missing are simulated", Path),
            **{"default": Path("data/images"), "required": False},
        }
    )
    images: Path = field(metadata=option("folder with one folder of images per class, or an .npz file", Path))
    test_fraction: float = field(
        default=0.1, metadata=option("share of each class's images to hold out where no splits are given", float)
    )
    seed: int = field(default=0, metadata=option("draws another share, and another camera for each image", int))
    theta: float = field(
        default=_CAMERA.theta_on,
        metadata=option("contrast that makes an event, in natural log units: less gives more events", float),
    )
    noise_hz: float = field(
        default=_CAMERA.noise_hz, metadata=option("noise events per second, pixel and polarity", float)
    )
    picture_px: int = field(
        default=_CAMERA.picture_px, metadata=option("longer side of the image on the 128×128 sensor", int)
    )
    path_px: float = field(
        default=_CAMERA.path_px, metadata=option("how far each diagonal path of the movement leads, px", float)
    )

    def __post_init__(self) -> None:
        check_fraction(self.test_fraction)
        _ = self.camera
        if self.root.absolute().is_relative_to(self.images.absolute()):
            raise ValueError(f"root {self.root} lies in the images' folder {self.images}; choose one outside of it")

    @property
    def camera(self) -> CameraSettings:
        """The camera that records the images."""
        return CameraSettings(
            theta_on=self.theta,
            theta_off=self.theta,
            noise_hz=self.noise_hz,
            picture_px=self.picture_px,
            path_px=self.path_px,
        )

    def options(self) -> dict[str, Any]:
        """See ``Dataset.options``."""
        return {"seed": self.seed, "test_fraction": self.test_fraction, "camera": asdict(self.camera)}

    def listing(self) -> Listing:
        """See ``Dataset.listing``; recordings are listed before they are made. Reads every image, for its digest."""
        left_out: list[LeftOut] = []
        if self.images.is_dir():
            found = list(_search(self.images, left_out))
            classes = tuple(sorted({image.class_name for image in found}))
        elif self.images.is_file():
            labelled = read_labelled_images(self.images)
            found, classes = list(_rows(labelled, self.images)), labelled.classes
        else:
            raise FileNotFoundError(f"{self.images.absolute()}: no such folder or .npz file; --images names it")
        sources = [
            _ImageSource(
                path=self.root / image.name,
                member=None,
                label=classes.index(image.class_name),
                split=image.split,
                name=image.name,
                place=image.place,
                digest=sha256(f"{self.seed}:{image.digest}".encode()).hexdigest(),
            )
            for image in found
        ]
        split, notes = hold_out(sources, classes, self.test_fraction, self.seed)
        return Listing(classes, split, sensor=(128, 128), left_out=tuple(left_out), notes=notes)

    def prepare(self, sources: Sequence[Source], workers: int | None) -> None:
        """Simulate the recordings that are missing, or were made from other images or by other settings.

        Raises:
            BusyError: another process is doing so.
            FileExistsError: a file of that name was not made here.
        """
        known = stamped(self.root)
        shots = []
        for source in sources:
            assert isinstance(source, _ImageSource)
            if source.name not in known and source.path.exists():
                raise FileExistsError(f"{source.path} is there and not simulated; choose another --root")
            place = source.place
            picture = place if isinstance(place, Path) else read_labelled_images(place.path).images[place.number]
            seed = int(sha256(f"{self.seed}:{source.name}".encode()).hexdigest()[:15], 16)
            shots.append(Shot(source.name, picture, seed, source.digest))
        simulate_missing(self.root, shots, self.camera, workers)


class _Image(NamedTuple):
    """An image that was found; ``name`` is its recording's, ``split`` empty where none was given."""

    name: str
    class_name: str
    split: str
    place: Path | Row
    digest: str


@dataclass(frozen=True)
class _ImageSource(Source):
    """A recording of an image; where it could not be made, reading it tells why."""

    place: Path | Row = Path()
    digest: str = ""

    def read(self) -> bytes:
        """See ``Source.read``."""
        if self.path.exists():
            return super().read()
        if isinstance(self.place, Path):
            try:
                read_picture(self.place)
            except RecordingError as error:
                raise RecordingError(f"{self.name}: {self.place.name}: {error}") from error
        raise RecordingError(f"{self.name}: the image {self.place} gave not a single event")

    def num_bytes(self) -> int:
        """See ``Source.num_bytes``; 0 where it could not be made."""
        return super().num_bytes() if self.path.exists() else 0

    def identity(self) -> tuple[int, ...]:
        """See ``Source.identity``; the image tells the content."""
        return self.num_bytes(), int(self.digest[:15], 16)


def _search(images: Path, left_out: list[LeftOut]) -> Iterator[_Image]:
    """The images of a folder, by split and class; of those that would have one recording, the first."""
    names = set()
    for found in find_pictures(images, left_out):
        name = Path(found.name).with_suffix(".aedat").as_posix()
        try:
            digest = sha256(found.path.read_bytes()).hexdigest()
        except OSError as error:
            left_out.append(LeftOut(found.name, f"cannot be read ({error})"))
            continue
        if name in names:
            left_out.append(LeftOut(found.name, f"another image has the recording {name}; rename it"))
            continue
        names.add(name)
        yield _Image(name, found.class_name, found.split, found.path, digest)


def _rows(labelled: LabelledImages, path: Path) -> Iterator[_Image]:
    """The images of an .npz file."""
    for index, (image, label) in enumerate(zip(labelled.images, labelled.labels.tolist(), strict=True)):
        class_name, split = labelled.classes[label], labelled.split[index] if labelled.split else ""
        name = "/".join(filter(None, (split, class_name, f"{index:06d}.aedat")))
        yield _Image(name, class_name, split, Row(path, index), content_digest(image))
