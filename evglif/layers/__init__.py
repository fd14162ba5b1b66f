"""Building blocks of the networks.

Everything here is time-major, ``[T, B, C, H, W]``, or ``[T, B, F]`` after flattening. Stateless layers see time folded
into the batch; only neurons know time.
"""

from evglif.layers.attention import AttentionBlock, SelfAttention, SpikeProducts, TokenAttention, TokenSelection
from evglif.layers.blocks import CONNECTS, BasicBlock, Downsampling, MSBlock, SEWBlock
from evglif.layers.dropout import HeldDropout
from evglif.layers.encoders import ENCODERS, encode
from evglif.layers.folding import time_folded
from evglif.layers.norms import NORMS, TdBatchNorm2d, build_norm
from evglif.layers.pooling import POOLINGS, Flatten, GlobalPool, SpikePool, Voting
from evglif.layers.recompute import recomputed
from evglif.layers.units import ConvNorm, ConvSpike, LinearSpike, PooledConvSpike, norm_spike

__all__ = [
    "CONNECTS",
    "ENCODERS",
    "NORMS",
    "POOLINGS",
    "AttentionBlock",
    "BasicBlock",
    "ConvNorm",
    "ConvSpike",
    "Downsampling",
    "Flatten",
    "GlobalPool",
    "HeldDropout",
    "LinearSpike",
    "MSBlock",
    "PooledConvSpike",
    "SEWBlock",
    "SelfAttention",
    "SpikePool",
    "SpikeProducts",
    "TdBatchNorm2d",
    "TokenAttention",
    "TokenSelection",
    "Voting",
    "build_norm",
    "encode",
    "norm_spike",
    "recomputed",
    "time_folded",
]
