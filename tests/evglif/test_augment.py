import pytest
import torch

from evglif.augment import AugmentConfig, augment, random_crop


def test_a_crop_shifts_all_frames_of_a_sample_alike_and_loses_only_the_rim():
    torch.manual_seed(0)
    frames = torch.rand(64, 3, 2, 6, 7)
    cropped = random_crop(frames, 2)
    padded = torch.nn.functional.pad(frames, (2,) * 4)
    offsets = set()
    for before, after in zip(padded, cropped, strict=True):
        matches = [(y, x) for y in range(5) for x in range(5) if torch.equal(before[..., y : y + 6, x : x + 7], after)]
        assert len(matches) == 1
        offsets.add(matches[0])
    assert len(offsets) > 15


def test_flip_mirrors_some_samples_whole():
    torch.manual_seed(0)
    frames = torch.rand(40, 2, 2, 4, 5)
    flipped, _ = augment(frames, torch.zeros(40, dtype=torch.long), 2, AugmentConfig(flip=True))
    mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(frames, flipped, strict=True)]
    same = [torch.equal(after, before) for before, after in zip(frames, flipped, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 8 < sum(mirrored) < 32


def test_nothing_is_done_by_default():
    frames, labels = torch.rand(2, 1, 2, 3, 3), torch.tensor([1, 0])
    augmented, targets = augment(frames, labels, 2, AugmentConfig())
    assert torch.equal(augmented, frames)
    assert torch.equal(targets, labels)


def test_a_negative_padding_is_refused():
    with pytest.raises(ValueError, match="got -1"):
        AugmentConfig(crop_padding=-1)
