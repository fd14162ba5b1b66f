"""Static images through the machinery that recordings go through."""

import json
import pickle

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from preprocessing.build import build, main
from preprocessing.building import journal, local
from preprocessing.building.pipeline import make_plan
from preprocessing.building.shards import consolidate, plan_shards, write_joined, write_shard
from preprocessing.cache import FrameCache
from preprocessing.datasets import DATASETS, Folder, Pictures
from preprocessing.datasets.stills import base as static
from preprocessing.frames.settings import FrameSettings
from preprocessing.inspect import main as inspect

IMAGES = np.random.default_rng(0).integers(0, 256, (130, 6, 8, 3)).astype(np.uint8)


@pytest.fixture
def root(tmp_path):
    np.savez(tmp_path / "images.npz", images=IMAGES, labels=np.arange(130) % 2, classes=["red", "blue"])
    return tmp_path / "images.npz"


@pytest.fixture
def photos(tmp_path):
    for i, image in enumerate(IMAGES[:8]):
        path = tmp_path / "photos" / ("test" if i % 4 == 3 else "train") / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "images.h5"


def test_worker_processes_give_the_same_file(root, out):
    build(Pictures(root), out, workers=1, limit=20)
    build(Pictures(root), out.with_name("two.h5"), workers=2, limit=20)
    assert out.read_bytes() == out.with_name("two.h5").read_bytes()


def test_shards_are_the_same_cache(root, out):
    dataset = Pictures(root, size=(4, 4))
    build(dataset, out, workers=1)
    joined = out.with_name("joined.h5")
    listing = dataset.listing()
    plan = make_plan(dataset, listing, FrameSettings(), listing.sources, joined, strict=False)
    shards = plan_shards(plan)
    assert len(shards) == 3
    shards[0].path.parent.mkdir(parents=True)
    for shard in shards:
        write_shard(pickle.loads(pickle.dumps(shard)))
    write_joined(plan, shards, [shard.outcome() for shard in shards], out.stat().st_mtime_ns)
    whole, parts = FrameCache(out), FrameCache(joined)
    assert len(parts.shards) == 3
    np.testing.assert_array_equal(parts.stored(range(130)), whole.stored(range(130)))
    assert (parts.mean, parts.std, parts.dtype) == (whole.mean, whole.std, np.uint8)
    consolidate(parts)
    assert joined.read_bytes() == out.read_bytes()


def test_an_interrupted_build_goes_on(photos, out, monkeypatch, capsys):
    build(Pictures(photos, size=(8, 6)), whole := out.with_name("whole.h5"), workers=1)
    done, make_samples = [], local.make_samples

    def interrupted(task):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(task.source.name)
        return make_samples(task)

    with monkeypatch.context() as patch:
        patch.setattr(local, "make_samples", interrupted)
        with pytest.raises(KeyboardInterrupt, match="5 of 8 images are kept; run the same command to go on"):
            build(Pictures(photos, size=(8, 6)), out, workers=1)
    assert journal.beside(out, "journal").exists()
    build(Pictures(photos, size=(8, 6)), out, workers=1)
    assert "resuming: 5 of 8 images were done" in capsys.readouterr().err
    assert out.read_bytes() == whole.read_bytes()


def test_a_changed_photo_builds_anew(photos, out):
    dataset = Pictures(photos, size=(8, 6))
    build(dataset, out, workers=1)
    assert build(dataset, out, workers=1).up_to_date
    Image.fromarray(IMAGES[99]).save(photos / "train" / "a" / "0.png")
    assert not build(dataset, out, workers=1).up_to_date
    np.testing.assert_array_equal(FrameCache(out).stored([0])[0, 0].transpose(1, 2, 0), IMAGES[99])


def test_an_array_that_changes_during_the_build_is_told(root, out):
    dataset = Pictures(root)
    listing = dataset.listing()
    np.savez(root, images=IMAGES[::-1][:100], labels=np.arange(100) % 2, classes=["red", "blue"])
    static.load_once.cache_clear()  # as another process, which reads it now
    plan = make_plan(dataset, listing, FrameSettings(), listing.sources, out, strict=False)
    out.parent.mkdir()
    with pytest.raises(
        ValueError, match=r"none of 130 images can be used: .*images.npz has changed since it was listed"
    ):
        local.build_here(plan, 1)


def test_a_process_that_lives_on_reads_an_array_that_was_listed_again(root, out):
    build(Pictures(root), out, workers=1)
    np.savez(root, images=IMAGES[::-1], labels=np.arange(130) % 2, classes=["red", "blue"])
    assert not build(Pictures(root), out, workers=1).up_to_date
    np.testing.assert_array_equal(FrameCache(out).stored([0])[0, 0].transpose(1, 2, 0), IMAGES[-1])


def test_options_of_events_are_refused(root, out):
    with pytest.raises(ValueError, match="pictures holds images: steps, size, slicing, resize, value and filters"):
        build(Pictures(root), out, steps=4)


def test_statistics_are_those_of_the_training_images(photos, out):
    build(Pictures(photos, size=(8, 6)), out, workers=1)
    cache = FrameCache(out)
    training = np.array([read for i, read in enumerate(IMAGES[:8]) if i % 4 != 3]) / 255
    np.testing.assert_allclose(cache.mean, training.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(cache.std, training.std((0, 1, 2)), rtol=1e-12)
    assert (cache.num_events.any(), cache.duration_us.any(), cache.sensor) == (False, False, (8, 6))


def test_caches_of_events_have_no_statistics(cache_path):
    cache = FrameCache(cache_path)
    assert (cache.kind, cache.channels, cache.dtype, cache.mean, cache.std) == ("events", 2, np.uint16, (), ())


def test_images_without_a_training_split_have_none(tmp_path, out):
    np.savez(tmp_path / "a.npz", images=IMAGES[:3], labels=[0, 0, 0], split=["test"] * 3)
    assert "no train samples at all" in str(build(Pictures(tmp_path / "a.npz"), out, workers=1))
    assert FrameCache(out).mean == ()


def test_the_summary_counts_images(root, out, capsys):
    assert main(["pictures", "--root", str(root), "--out", str(out), "--workers", "1"]) == 0
    told = capsys.readouterr().out
    assert "frames    1 × 3 × 6 × 8, value = stored × 0.00392157" in told
    assert "images    130 in" in told
    assert "of the training images, per channel" in told
    assert "events" not in told.replace("evglif", "")


def test_images_are_inspected_as_images(root, out, tmp_path, capsys):
    build(Pictures(root), out, workers=1)
    assert inspect([str(out), "--picture", str(tmp_path / "all.png")]) == 0
    told = capsys.readouterr().out
    assert "data set     pictures (seed 0, test_fraction 0.1)" in told
    assert "1 × 3 × 6 × 8" in told
    assert "events" not in told
    assert inspect([str(out), "--sample", "3", "--json"]) == 0
    [facts] = json.loads(capsys.readouterr().out)
    assert set(facts["channels"]) == {"red", "green", "blue"}
    assert facts["channels"]["red"] == pytest.approx(IMAGES[3, ..., 0].mean() / 255)
    assert imread(tmp_path / "all.png").shape[1] > 1000


def test_a_picture_of_a_sample_has_its_colours(tmp_path, out, capsys):
    colours = np.array([[[250, 10, 20], [20, 240, 30]], [[30, 40, 230], [200, 200, 60]]], np.uint8)
    np.savez(tmp_path / "a.npz", images=colours[None].repeat(4, axis=0), labels=[0, 0, 1, 1])
    build(Pictures(tmp_path / "a.npz"), out, workers=1)
    assert inspect([str(out), "--sample", "0", "--picture", str(tmp_path / "one.png")]) == 0
    assert inspect([str(out), "--sample", "0"]) == 0
    drawn = (imread(tmp_path / "one.png")[..., :3] * 255).round().astype(int)
    for colour in colours.reshape(-1, 3):
        assert (drawn == colour).all(axis=-1).sum() > 1000
    assert "mean    red 0.4902, green 0.4804, blue 0.3333" in capsys.readouterr().out


@pytest.mark.parametrize("name", DATASETS)
def test_every_command_has_an_example_in_its_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    told = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"example:\n  python -m preprocessing.build {name} --" in told
    assert ("--slicing" in told) == (DATASETS[name].kind == "events")


def test_events_and_images_say_so_in_their_caches(recordings, root, out):
    build(Folder(recordings), out, steps=2, size=(4, 4), workers=1, limit=4)
    assert (FrameCache(out).kind, FrameCache(out).config["kind"]) == ("events", "events")
    build(Pictures(root), out, workers=1, limit=4)
    assert (FrameCache(out).kind, FrameCache(out).config["kind"]) == ("images", "images")
