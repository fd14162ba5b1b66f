"""The recurrence on the GPU: one kernel forward, one backward.

One time step of the current is seen as ``[rows, C, inner]``: channels last as ``[B·H·W, C, 1]``, else as
``[B, C, H·W]``. A program works on tiles of ``POSITIONS`` × ``CHANNELS`` neurons, whose membranes stay in registers
over all time steps. Number of steps, batch and sizes are arguments of the compiled kernel, not part of it.

Operations come in the order of the reference, and the launches of ``triton.py`` forbid fused multiply-adds: so both
agree spike for spike. Names in capitals are constants of a compiled kernel.
"""

# ruff: noqa: N803
# mypy: disable-error-code="import-untyped, import-not-found, untyped-decorator, assignment"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _neurons(
    tile: tl.tensor,
    first_channel: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    inner: tl.tensor,
    POSITIONS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """Where the neurons of a tile lie within a time step, and which of them exist.

    A channel's neurons are numbered over all rows: neuron p lies in row p // inner. Only the tile's first number
    needs 64 bits, so that no thread divides by 64-bit numbers.
    """
    first = tile * POSITIONS
    row = first // inner
    position = tl.cast(first - row * inner, tl.int32) + tl.arange(0, POSITIONS)[:, None]
    channel = first_channel + tl.arange(0, CHANNELS)[None, :]
    below = position // inner
    position -= below * inner
    offsets = (row + below) * channels * inner + (channel * inner + position)
    return offsets, (row + below < rows) & (channel < channels)


@triton.jit
def _channel_values(coefficients: tl.tensor, k: tl.tensor, channel: tl.tensor, channels: tl.tensor) -> tl.tensor:
    """Row k of ``[…, C]`` for the channels of a tile."""
    return tl.load(coefficients + k * channels + channel, channel < channels, other=0.0)


@triton.jit
def _five(coefficients: tl.tensor, channel: tl.tensor, channels: tl.tensor) -> tl.tensor:
    """a, b, r, d, v for the channels of a tile, each ``[1, CHANNELS]``."""
    return (
        _channel_values(coefficients, 0, channel, channels),
        _channel_values(coefficients, 1, channel, channels),
        _channel_values(coefficients, 2, channel, channels),
        _channel_values(coefficients, 3, channel, channels),
        _channel_values(coefficients, 4, channel, channels),
    )


@triton.jit
def _load_steps(
    values: tl.tensor, first: tl.tensor, COUNT: tl.constexpr, step: tl.tensor, offsets: tl.tensor, valid: tl.tensor
) -> tl.tensor:
    """``COUNT`` steps of a tile at once: the memory is kept busy only by many requests at a time."""
    loaded = ()
    for k in tl.static_range(COUNT):
        loaded += (tl.load(values + (first + k) * step + offsets, valid, other=0.0),)
    return loaded


@triton.jit
def _update(
    u: tl.tensor, s: tl.tensor, x: tl.tensor, a: tl.tensor, b: tl.tensor, g: tl.tensor, r: tl.tensor, d: tl.tensor
) -> tl.tensor:
    """U[t] = a·U[t-1] − b + g[t]·X[t] − S[t-1]·(r·U[t-1] + d)."""
    return a * u - b + g * x - s * (r * u + d)


@triton.jit
def _spikes(u: tl.tensor, v: tl.tensor, STRICT: tl.constexpr) -> tl.tensor:
    """S = 1 if U > v (or U ≥ v), else 0; not a number where U − v is none, which must not pass for silence."""
    distance = u - v
    fired = distance > 0 if STRICT else distance >= 0
    is_nan = distance != distance  # noqa: PLR0124
    return tl.where(is_nan, distance, fired.to(u.dtype))


@triton.jit
def _run_segment(
    u: tl.tensor,
    s: tl.tensor,
    currents: tl.tensor,
    neuron: tl.tensor,
    gain: tl.tensor,
    first: tl.tensor,
    channel: tl.tensor,
    channels: tl.tensor,
    STRICT: tl.constexpr,
) -> tl.tensor:
    """Membranes before and after each of the steps from ``first`` on whose currents are given."""
    a, b, r, d, v = neuron
    membranes = (u,)
    for k in tl.static_range(len(currents)):
        g = _channel_values(gain, first + k, channel, channels)
        u = _update(u, s, currents[k].to(u.dtype), a, b, g, r, d)
        s = _spikes(u, v, STRICT)
        membranes += (u,)
    return membranes


@triton.jit
def _derivative(u: tl.tensor, v: tl.tensor, SURROGATE: tl.constexpr, WIDTH: tl.constexpr) -> tl.tensor:
    """The surrogate's derivative φ((U − v) / width) / width; as in ``evglif.surrogate``."""
    scale: tl.constexpr = 1 / WIDTH
    x = (u - v) * scale
    if SURROGATE == "rectangular":
        phi = (tl.abs(x) < 0.5).to(u.dtype)
    elif SURROGATE == "arctan":
        y = x * 3.141592653589793
        phi = 1 / (1 + y * y)
    elif SURROGATE == "sigmoid":
        y = 1 / (1 + tl.exp(x * -4))
        phi = y * (1 - y) * 4
    elif SURROGATE == "fast-sigmoid":
        y = 1 + tl.abs(x) * 2
        phi = 1 / (y * y)
    else:
        tl.static_assert(SURROGATE == "triangle")
        y = 1 - tl.abs(x)
        phi = tl.where(y < 0, 0.0, y)
    return phi * scale


@triton.jit(do_not_specialize=["num_steps", "first_kept", "rows"])
def forward(
    current: tl.tensor,
    coefficients: tl.tensor,
    gain: tl.tensor,
    start_membrane: tl.tensor,
    start_spikes: tl.tensor,
    spikes: tl.tensor,
    membranes: tl.tensor,
    num_steps: tl.tensor,
    first_kept: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    inner: tl.tensor,
    REST: tl.constexpr,
    HAS_START: tl.constexpr,
    STRICT: tl.constexpr,
    POSITIONS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Spikes and membranes of one tile.

    Args:
        current: X, ``[T, rows, C, inner]``.
        coefficients: a, b, r, d, v, ``[5, C]`` in the dtype of the state.
        gain: g, ``[T, C]``, likewise.
        start_membrane: U before the first step ``[rows, C, inner]``, likewise; not read without ``HAS_START``.
        start_spikes: S before the first step, likewise.
        spikes: output, like the current.
        membranes: output ``[T - first_kept, rows, C, inner]`` in the dtype of the state.
        num_steps: T.
        first_kept: first step of which membranes are wanted.
        rows, channels, inner: shape of a step.
        REST: U before the first step, of all neurons, without ``HAS_START``; then S is 0.
        HAS_START: whether there is a start.
        STRICT: fire at U > v, otherwise at U ≥ v.
        POSITIONS, CHANNELS: size of a tile.
    """
    groups = tl.cdiv(channels, CHANNELS)
    tile, first_channel = tl.program_id(0).to(tl.int64) // groups, tl.program_id(0) % groups * CHANNELS
    offsets, valid = _neurons(tile, first_channel, rows, channels, inner, POSITIONS, CHANNELS)
    channel = first_channel + tl.arange(0, CHANNELS)[None, :]
    a, b, r, d, v = _five(coefficients, channel, channels)
    step = rows.to(tl.int64) * channels * inner
    if HAS_START:
        u = tl.load(start_membrane + offsets, valid)
        s = tl.load(start_spikes + offsets, valid)
    else:
        u = tl.full((POSITIONS, CHANNELS), REST, a.dtype)
        s = tl.zeros((POSITIONS, CHANNELS), a.dtype)
    x = tl.load(current + offsets, valid)
    for t in range(num_steps):
        # The next step's current is on its way while this one is worked on.
        following = tl.load(current + (t + 1) * step + offsets, valid & (t + 1 < num_steps))
        g = _channel_values(gain, t, channel, channels)
        u = _update(u, s, x.to(a.dtype), a, b, g, r, d)
        s = _spikes(u, v, STRICT)
        tl.store(spikes + t * step + offsets, s.to(spikes.dtype.element_ty), valid)
        if t >= first_kept:
            tl.store(membranes + (t - first_kept) * step + offsets, u, valid)
        x = following


@triton.jit
def _add_sum(sums: tl.tensor, values: tl.tensor, channel: tl.tensor, channels: tl.tensor) -> None:
    """Add a tile's values to the sums ``[C]`` of its channels, which no other program touches."""
    there = channel < channels
    tl.store(sums + channel, tl.load(sums + channel, there) + tl.sum(values, 0, keep_dims=True), there)


@triton.jit(do_not_specialize=["num_segments", "first_kept", "rows", "num_parts"])
def backward(  # noqa: PLR0915
    grad_spikes: tl.tensor,
    grad_membranes: tl.tensor,
    current: tl.tensor,
    coefficients: tl.tensor,
    gain: tl.tensor,
    start_membrane: tl.tensor,
    start_spikes: tl.tensor,
    grad_current: tl.tensor,
    grad_start_membrane: tl.tensor,
    grad_start_spikes: tl.tensor,
    sums: tl.tensor,
    checkpoints: tl.tensor,
    num_segments: tl.tensor,
    first_kept: tl.tensor,
    rows: tl.tensor,
    channels: tl.tensor,
    inner: tl.tensor,
    num_parts: tl.tensor,
    REST: tl.constexpr,
    HAS_START: tl.constexpr,
    STRICT: tl.constexpr,
    DETACH_RESET: tl.constexpr,
    SURROGATE: tl.constexpr,
    WIDTH: tl.constexpr,
    SEGMENT: tl.constexpr,
    SUM_COEFFICIENTS: tl.constexpr,
    GRAD_START: tl.constexpr,
    POSITIONS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Gradients of every ``num_parts``-th tile of some channels; membranes are computed again from the current.

        G[t] = ∂/∂S[t] − δ[t+1]·(r·U[t] + d)                      the second term unless detached
        δ[t] = ∂/∂U[t] + G[t]·φ(U[t] − v) + δ[t+1]·(a − r·S[t])    and ∂/∂X[t] = g[t]·δ[t]

    Time is cut into segments of ``SEGMENT`` steps, whose membranes fit in registers. A first sweep stores the
    membrane before each segment but the first; then segments are run again, last one first, and walked back through.
    A run of one segment reads its current once and stores nothing.

    Args:
        grad_spikes: ``[T, rows, C, inner]`` in the dtype of the current.
        grad_membranes: ``[T - first_kept, rows, C, inner]`` in the dtype of the state.
        current, coefficients, gain, start_membrane, start_spikes: as ``forward``.
        grad_current: output, like the current.
        grad_start_membrane: output ``[rows, C, inner]`` in the dtype of the state, if ``GRAD_START``; as the next.
        grad_start_spikes: output.
        sums: sums over tiles of the gradients of a, b, r, d, v, and of g at every step: ``[num_parts, 5 + T, C]``
            in the dtype of the state, if ``SUM_COEFFICIENTS``; from zeros.
        checkpoints: scratch, ``[programs, num_segments - 1, POSITIONS, CHANNELS]`` in the dtype of the state.
        num_segments: T / ``SEGMENT``.
        first_kept, rows, channels, inner: as ``forward``.
        num_parts: number of programs that share the tiles of the same channels.
        REST, HAS_START, STRICT, POSITIONS, CHANNELS: as ``forward``.
        DETACH_RESET: leave out the gradient through the spike in the reset.
        SURROGATE, WIDTH: of the spike.
        SEGMENT: steps whose membranes are held at a time.
        SUM_COEFFICIENTS: whether gradients of the coefficients and the gain are wanted.
        GRAD_START: whether gradients of the start are wanted.
    """
    groups = tl.cdiv(channels, CHANNELS)
    part, first_channel = tl.program_id(0) // groups, tl.program_id(0) % groups * CHANNELS
    channel = first_channel + tl.arange(0, CHANNELS)[None, :]
    neuron = _five(coefficients, channel, channels)
    a, _, r, d, v = neuron
    step = rows.to(tl.int64) * channels * inner
    num_tiles = tl.cdiv(rows.to(tl.int64) * inner, POSITIONS)
    sums += part.to(tl.int64) * (5 + num_segments * SEGMENT) * channels
    checkpoints += tl.program_id(0).to(tl.int64) * (num_segments - 1) * (POSITIONS * CHANNELS)
    in_tile = tl.arange(0, POSITIONS)[:, None] * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    nought = tl.zeros((POSITIONS, CHANNELS), a.dtype)
    sum_a, sum_b, sum_r, sum_d, sum_v = nought, nought, nought, nought, nought
    for tile in range(part, num_tiles, num_parts):
        offsets, valid = _neurons(tile, first_channel, rows, channels, inner, POSITIONS, CHANNELS)
        if HAS_START:
            u_start = tl.load(start_membrane + offsets, valid, other=0.0)
            s_start = tl.load(start_spikes + offsets, valid, other=0.0)
        else:
            u_start, s_start = tl.full((POSITIONS, CHANNELS), REST, a.dtype), nought

        u, s = u_start, s_start
        for segment in range(num_segments - 1):
            t = segment * SEGMENT
            currents = _load_steps(current, t, SEGMENT, step, offsets, valid)
            u = _run_segment(u, s, currents, neuron, gain, t, channel, channels, STRICT)[SEGMENT]
            s = _spikes(u, v, STRICT)
            tl.store(checkpoints + segment * (POSITIONS * CHANNELS) + in_tile, u)
        tl.debug_barrier()  # a thread may load what another one has stored, and must before that stores again

        delta = nought
        for back in range(num_segments):
            segment = num_segments - 1 - back
            u, s = u_start, s_start
            if segment > 0:
                u = tl.load(checkpoints + (segment - 1) * (POSITIONS * CHANNELS) + in_tile)
                s = _spikes(u, v, STRICT)
            currents = _load_steps(current, segment * SEGMENT, SEGMENT, step, offsets, valid)
            grads = _load_steps(grad_spikes, segment * SEGMENT, SEGMENT, step, offsets, valid)
            membranes = _run_segment(u, s, currents, neuron, gain, segment * SEGMENT, channel, channels, STRICT)
            for k in tl.static_range(SEGMENT - 1, -1, -1):
                t = segment * SEGMENT + k
                u = membranes[k + 1]
                through = grads[k].to(u.dtype)
                # After the last step there is no reset, and 0·∞ would be no number.
                goes_on = t + 1 < num_segments * SEGMENT
                if not DETACH_RESET:
                    through -= tl.where(goes_on, delta * (r * u + d), 0.0)
                through *= _derivative(u, v, SURROGATE, WIDTH)
                delta = tl.where(goes_on, delta * (a - r * _spikes(u, v, STRICT)), 0.0) + through
                if t >= first_kept:
                    delta += tl.load(grad_membranes + (t - first_kept) * step + offsets, valid, other=0.0)
                g = _channel_values(gain, t, channel, channels)
                tl.store(grad_current + t * step + offsets, (g * delta).to(grad_current.dtype.element_ty), valid)
                if SUM_COEFFICIENTS:
                    u = membranes[k]
                    before = _spikes(u, v, STRICT) if k > 0 else s
                    sum_a += delta * u
                    sum_b -= delta
                    sum_r -= delta * (before * u)
                    sum_d -= delta * before
                    sum_v -= through
                    _add_sum(sums + (5 + t) * channels, delta * currents[k].to(u.dtype), channel, channels)
        tl.debug_barrier()
        if GRAD_START:
            tl.store(grad_start_membrane + offsets, delta * (a - r * s_start), valid)
            of_spikes = nought if DETACH_RESET else -delta * (r * u_start + d)
            tl.store(grad_start_spikes + offsets, of_spikes, valid)
    if SUM_COEFFICIENTS:
        _add_sum(sums, sum_a, channel, channels)
        _add_sum(sums + channels, sum_b, channel, channels)
        _add_sum(sums + 2 * channels, sum_r, channel, channels)
        _add_sum(sums + 3 * channels, sum_d, channel, channels)
        _add_sum(sums + 4 * channels, sum_v, channel, channels)
