from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from evglif.augment import AugmentConfig, augment
from evglif.augment.events import drop_events, shift_time, thinned
from evglif.augment.mixing import cut_and_mix, mix, soft_targets
from evglif.augment.space import cut_out, flip, random_crop, resized_crop, roll, rotate, shear

EVERYTHING = {
    "resized_crop": (0.5, 1.0),
    "crop_padding": 2,
    "flip": True,
    "roll": 2,
    "rotate": 10.0,
    "shear": 10.0,
    "cutout": 3,
    "time_shift": 1,
    "event_drop": 0.5,
    "mixup": 0.5,
    "cutmix": 0.5,
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def counts(*shape):
    """Frames of whole events."""
    return torch.poisson(torch.full(shape, 2.0))


def augmented(frames, config, num_classes=3):
    return augment(frames, torch.arange(len(frames)) % num_classes, num_classes, config)


@pytest.mark.parametrize("name", EVERYTHING)
def test_shape_and_type_stay_the_input_too_and_the_seed_decides(name):
    config = AugmentConfig(**{name: EVERYTHING[name]})
    frames = counts(6, 4, 2, 9, 7)
    before = frames.clone()
    torch.manual_seed(3)
    first, targets = augmented(frames, config)
    torch.manual_seed(3)
    again, targets_again = augmented(frames, config)

    assert (first.shape, first.dtype) == (frames.shape, frames.dtype)
    assert torch.equal(first, again)
    assert torch.equal(targets, targets_again)
    assert torch.equal(frames, before)
    assert not torch.equal(first, frames)
    assert not torch.equal(augmented(frames, config)[0], first)


@pytest.mark.parametrize("name", EVERYTHING)
def test_single_images_of_any_form_can_be_augmented(name):
    frames = torch.rand(3, 1, 3, 8, 5)
    changed, targets = augmented(frames, AugmentConfig(**{name: EVERYTHING[name]}))
    assert changed.shape == frames.shape
    assert torch.isfinite(changed).all()
    assert len(targets) == 3


def test_nothing_is_done_by_default():
    frames = torch.rand(2, 1, 2, 3, 3)
    changed, targets = augmented(frames, AugmentConfig())
    assert torch.equal(changed, frames)
    assert targets.tolist() == [0, 1]


def one_draw_for_all(operation, *arguments):
    """Whether frames of a sample that are the same before are so after, while samples differ."""
    frames = torch.rand(1, 1, 1, 8, 8).expand(20, 3, 2, 8, 8).contiguous()
    changed = operation(frames, *arguments)
    return torch.equal(changed, changed[:, :1, :1].expand_as(changed)) and len(changed.unique(dim=0)) > 1


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (flip, ()),
        (random_crop, (2,)),
        (roll, (2,)),
        (rotate, (20.0,)),
        (shear, (20.0,)),
        (cut_out, (3,)),
        (resized_crop, ((0.3, 0.9),)),
    ],
)
def test_all_frames_of_a_sample_change_alike(operation, arguments):
    assert one_draw_for_all(operation, *arguments)


def test_a_crop_shifts_all_frames_of_a_sample_alike_and_loses_only_the_rim():
    frames = torch.rand(64, 3, 2, 6, 7)
    cropped = random_crop(frames, 2)
    padded = F.pad(frames, (2,) * 4)
    offsets = set()
    for before, after in zip(padded, cropped, strict=True):
        matches = [(y, x) for y in range(5) for x in range(5) if torch.equal(before[..., y : y + 6, x : x + 7], after)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 15


def test_flip_mirrors_some_samples_whole():
    frames = torch.rand(40, 2, 2, 4, 5)
    flipped = flip(frames)
    mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(frames, flipped, strict=True)]
    same = [torch.equal(after, before) for before, after in zip(frames, flipped, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 8 < sum(mirrored) < 32


def test_roll_moves_all_events_and_loses_none():
    frames = counts(32, 2, 2, 5, 6)
    rolled = roll(frames, 5)
    shifts = [(y, x) for y in range(5) for x in range(6)]
    found = [
        [shift for shift in shifts if torch.equal(before.roll(shift, (-2, -1)), after)]
        for before, after in zip(frames, rolled, strict=True)
    ]
    assert all(len(matches) == 1 for matches in found)
    assert len({matches[0] for matches in found}) > 10


def test_flip_and_roll_conserve_the_events_of_every_step():
    frames = counts(16, 3, 2, 6, 6)
    changed, _ = augmented(frames, AugmentConfig(flip=True, roll=3))
    assert torch.equal(changed.sum((-1, -2)), frames.sum((-1, -2)))


def test_a_quarter_turn_is_the_turned_frame(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(*shape))  # the most that can be drawn
    frames = torch.arange(12.0).reshape(1, 1, 1, 3, 4)
    turned = rotate(frames, 90.0)[0, 0, 0]
    square = rotate(torch.arange(9.0).reshape(1, 1, 1, 3, 3), 90.0)[0, 0, 0]
    assert torch.equal(square, torch.arange(9.0).reshape(3, 3).rot90(1))
    assert set(turned.unique().tolist()) <= {0.0, *frames.unique().tolist()}


def test_shear_slants_rows_and_keeps_the_middle_one(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(*shape))
    frames = torch.zeros(1, 1, 1, 5, 7)
    frames[..., 3] = 1
    slanted = shear(frames, 45.0)[0, 0, 0]
    assert slanted.argmax(1).tolist() == [5, 4, 3, 2, 1]


def test_no_angle_changes_nothing():
    frames = torch.rand(3, 2, 2, 9, 6)
    assert torch.equal(rotate(frames, 0.0), frames)
    assert torch.equal(shear(frames, 0.0), frames)


def test_cutout_blanks_one_square_and_no_more():
    frames = torch.ones(200, 2, 2, 8, 9)
    holes = cut_out(frames, 4) == 0
    assert torch.equal(holes, holes[:, :1, :1].expand_as(holes))
    rows, columns = holes[:, 0, 0].any(2).sum(1), holes[:, 0, 0].any(1).sum(1)
    assert torch.equal(holes[:, 0, 0].sum((1, 2)), rows * columns)
    assert (rows.min(), rows.max(), columns.max()) == (2, 4, 4)


def test_a_resized_crop_enlarges_a_part():
    ramp = torch.arange(64.0).expand(300, 1, 1, 64, 64)
    seen = resized_crop(ramp.contiguous(), (0.25, 0.25))[:, 0, 0]
    width = (seen[:, 0, -1] - seen[:, 0, 0]) * 64 / 63
    ratio = ((width / 32) ** 2).log()
    assert ratio.min() > log(3 / 4) - 0.15
    assert ratio.max() < log(4 / 3) + 0.15
    assert 20 < width.min() < width.max() < 40
    assert (seen.min(), seen.max()) >= (0, 40)


def test_the_whole_area_of_a_square_is_the_frame_or_less():
    frames = torch.rand(50, 1, 3, 8, 8)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(resized_crop(frames, (1.0, 1.0)), frames, strict=True)]
    assert all(same)  # no other ratio of that area fits in


def test_one_of_several_is_taken_for_each_sample():
    config = AugmentConfig(roll=1, cutout=2, one_of=True)
    frames = torch.ones(100, 1, 1, 8, 8)
    changed, _ = augmented(frames, config)
    blanked = (changed == 0).flatten(1).any(1)
    assert 20 < blanked.sum() < 80
    assert (augmented(frames, AugmentConfig(one_of=True))[0] == frames).all()


def test_a_shift_in_time_moves_whole_steps():
    frames = torch.rand(50, 4, 1, 2, 2)
    shifted = shift_time(frames, 2)
    empty = torch.zeros(2, 1, 2, 2)
    starts = set()
    for before, after in zip(frames, shifted, strict=True):
        padded = torch.cat([empty, before, empty])
        starts |= {start for start in range(5) if torch.equal(padded[start : start + 4], after)}
    assert starts == {0, 1, 2, 3, 4}


@given(kept=st.floats(0, 1))
def test_thinning_makes_no_events_and_no_parts(kept):
    frames = counts(2, 2, 2, 4, 4)
    left = thinned(frames, torch.tensor(kept))
    assert (left <= frames).all()
    assert torch.equal(left, left.round())


def test_thinning_keeps_all_none_or_the_share():
    frames = counts(2, 8, 2, 16, 16) * 5 / 6
    assert torch.equal(thinned(frames, torch.ones(1)), frames)
    assert torch.equal(thinned(frames, torch.zeros(1)), torch.zeros_like(frames))
    assert thinned(frames, torch.tensor(0.3)).sum() / frames.sum() == pytest.approx(0.3, abs=0.02)


def test_events_are_lost_in_three_ways():
    frames = torch.full((300, 8, 1, 8, 8), 20.0)
    left = drop_events(frames, 1.0)[:, :, 0] / 20
    period = left.amax((2, 3)).min(1).values == 0  # some step lost everything, in all places
    area = left.amax(1).flatten(1).min(1).values == 0  # some place did, in all steps
    anywhere = ~period & ~area
    assert all(way.sum() > 50 for way in (period, area & ~period, anywhere))
    assert left.mean((1, 2, 3)).min() > 0.05
    assert left.mean((1, 2, 3)).max() < 1
    lost = (left.amax(1) == 0).float().mean((1, 2))[area & ~period]
    assert 0.02 < lost.min() < lost.max() < 0.4


def test_chance_decides_how_many_samples_lose_events():
    frames = torch.full((400, 2, 1, 4, 4), 9.0)
    assert torch.equal(drop_events(frames, 0.0), frames)
    touched = (drop_events(frames, 0.25) != frames).flatten(1).any(1).float().mean()
    assert touched == pytest.approx(0.25, abs=0.07)


def test_mixtures_are_between_both_and_so_are_their_classes():
    frames = torch.rand(8, 2, 2, 4, 4)
    partner = torch.randperm(8)
    mixed, share = mix(frames, partner, 0.4)
    own = share.view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(mixed, own * frames + (1 - own) * frames[partner])
    assert ((share >= 0) & (share <= 1)).all()


def test_a_box_comes_from_the_partner_and_its_area_counts():
    frames = torch.arange(30.0).view(30, 1, 1, 1, 1).expand(30, 2, 2, 6, 8)
    partner = torch.arange(30).roll(1)
    mixed, share = cut_and_mix(frames, partner, 1.0)
    own = (mixed == frames).float().mean((1, 2, 3, 4))
    assert torch.equal(mixed, torch.where(mixed == frames, frames, frames[partner]))
    torch.testing.assert_close(share, own)
    assert share.unique().numel() > 10


@pytest.mark.parametrize("config", [AugmentConfig(mixup=0.2), AugmentConfig(cutmix=1.0), AugmentConfig(mixup=0.01)])
def test_targets_are_shares_that_sum_to_one(config):
    _, targets = augmented(torch.rand(64, 1, 1, 4, 4), config, num_classes=5)
    assert (targets.shape, targets.dtype) == ((64, 5), torch.float32)
    torch.testing.assert_close(targets.sum(1), torch.ones(64))
    assert (targets >= 0).all()
    assert ((targets > 0).sum(1) <= 2).all()
    assert F.cross_entropy(torch.zeros(64, 5), targets) == pytest.approx(log(5))


def test_a_sample_mixed_with_one_of_its_class_keeps_it():
    targets = soft_targets(torch.tensor([1, 1, 0]), torch.tensor([1, 2, 2]), torch.tensor([0.3, 0.25, 0.5]), 3)
    torch.testing.assert_close(targets, torch.tensor([[0, 1, 0], [0.75, 0.25, 0], [1, 0, 0]]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop_padding": -1}, "crop_padding must not be negative, got -1"),
        ({"mixup": float("nan")}, "mixup must not be negative, got nan"),
        ({"rotate": 200.0}, "rotate must be at most 180, got 200"),
        ({"shear": 90.0}, "shear must be at most 80, got 90"),
        ({"event_drop": 1.5}, "event_drop must be at most 1, got 1.5"),
        ({"resized_crop": (0.0, 1.0)}, r"resized_crop must be two shares .* got \(0.0, 1.0\)"),
        ({"resized_crop": (0.9, 0.5)}, r"got \(0.9, 0.5\)"),
        ({"mixup": 0.1, "cutmix": 0.1}, "choose mixup or cutmix, got mixup 0.1 and cutmix 0.1"),
    ],
)
def test_values_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**wrong)


def test_a_roll_beyond_the_frame_is_refused():
    with pytest.raises(ValueError, match="roll is 9 px, more than frames of 8×5 px have"):
        augmented(torch.rand(2, 1, 1, 5, 8), AugmentConfig(roll=9))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", list(EVERYTHING) if torch.cuda.is_available() else ["anything"])
def test_all_of_it_is_done_where_the_frames_lie(name):
    frames = counts(6, 4, 2, 9, 7).cuda()
    changed, targets = augment(frames, torch.arange(6).cuda() % 3, 3, AugmentConfig(**{name: EVERYTHING[name]}))
    assert changed.device == targets.device == frames.device
    assert not torch.equal(changed, frames)
