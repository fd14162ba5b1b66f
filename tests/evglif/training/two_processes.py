"""What test_ddp.py runs under torchrun: the norms of two processes against one, then the command line's training."""

import sys

import torch
from torch import distributed, nn

from evglif.layers import TdBatchNorm2d
from evglif.train import main
from evglif.training.machine import Machine, launched
from evglif.training.sync import SyncBatchNorm2d, synchronise_norms

PARTS = (slice(0, 3), slice(3, 5))


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Conv2d(3, 4, 3), TdBatchNorm2d(4, scale=0.5)
    model = nn.Sequential(*layers)
    nn.init.uniform_(model[1].weight)
    return model


def check_norms():
    """Both processes together, of unequal shares, do what one does with all samples."""
    part = PARTS[distributed.get_rank()]
    plain, synchronised = network(), network()
    optimised = list(synchronised.parameters())
    synchronise_norms(synchronised)
    assert [type(synchronised[1]), type(synchronised[4].norm)] == [SyncBatchNorm2d, SyncBatchNorm2d]
    assert synchronised[4].scale == 0.5
    assert list(synchronised.state_dict()) == list(plain.state_dict())
    assert all(one is other for one, other in zip(optimised, synchronised.parameters(), strict=True))
    for seed in (1, 2):
        torch.manual_seed(seed)
        x, weight = 5 + torch.randn(5, 2, 8, 8), torch.randn(5, 4, 4, 4)
        whole, mine = x.clone().requires_grad_(), x[part].clone().requires_grad_()
        expected, got = plain(whole), synchronised(mine)
        torch.testing.assert_close(got, expected[part])
        (expected * weight).sum().backward()
        (got * weight[part]).sum().backward()
        torch.testing.assert_close(mine.grad, whole.grad[part], rtol=1e-4, atol=1e-5)
    for one, other in zip(plain.parameters(), synchronised.parameters(), strict=True):
        distributed.all_reduce(other.grad)
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-4)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synchronised.state_dict()[name], value)
    torch.testing.assert_close(synchronised.eval()(x), plain.eval()(x))


if __name__ == "__main__":
    launched(Machine("cpu"), "fp32")
    check_norms()
    sys.exit(main())
