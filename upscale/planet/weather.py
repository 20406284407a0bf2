"""Weather as travelling red noise on the sphere.

Each day has its own random spherical harmonics, drawn from (seed, stream, day) alone. The
weather of a day is the sum of the noise of that day and of the days before, damped and advected
by the winds: fronts drift, persist and shear, and any day can be computed without its history.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from upscale.planet.sphere import NODE_LAT, SHAPE, Floats

Reals = NDArray[np.float64]
Waves = NDArray[np.complex128]

#: Weather is made in blocks of this many days, counted from day 0.
BLOCK = 30


@dataclass(frozen=True)
class Noise:
    """A kind of random field. peak, top: most energetic and highest degree of its spectrum;
    memory: correlation from one step to the next; depth: number of past steps; drift: whether
    the winds advect it."""

    stream: int
    peak: float
    top: int
    memory: float
    depth: int
    drift: bool


# Degree n has waves of 360 / n degrees: air masses of 60, storms of 33, slow anomalies of about
# 100 degrees. A step is one day for the first two, one block of 30 days for the others. The first
# step beyond `depth` would have less than 5 % of the weight of the newest.
_AIR = Noise(stream=1, peak=6.0, top=36, memory=0.78, depth=12, drift=True)
_STORM = Noise(stream=2, peak=11.0, top=56, memory=0.5, depth=6, drift=True)
_WARMTH = Noise(stream=3, peak=3.0, top=9, memory=0.75, depth=12, drift=False)
_WETNESS = Noise(stream=4, peak=4.0, top=12, memory=0.8, depth=14, drift=False)


@dataclass(frozen=True)
class PlanetWeather:
    """Fields of a block, zero mean and unit variance.

    air, storm: `(node, BLOCK)` daily, of temperature and of cloud and rain. warmth, wetness:
    `(node, 2)` slow anomalies at the beginning and the end of the block.
    """

    air: Floats
    storm: Floats
    warmth: Floats
    wetness: Floats


@lru_cache(maxsize=14)
def weather(seed: int, block: int) -> PlanetWeather:
    """The weather of the `BLOCK` days from day `block * BLOCK`."""
    first = block * BLOCK
    return PlanetWeather(
        _field(_AIR, seed, first, BLOCK),
        _field(_STORM, seed, first, BLOCK),
        _field(_WARMTH, seed, block, 2),
        _field(_WETNESS, seed, block, 2),
    )


def _field(noise: Noise, seed: int, first: int, count: int) -> Floats:
    """Steps `first` to `first + count` of a noise on the lattice, `(node, step)`."""
    fresh = [_draw(noise, seed, first + k) for k in range(-noise.depth, count)]
    rows = _rows(noise, np.stack(fresh))
    # An autoregressive process of first order, cut at `depth`; the squares of its weights sum to 1.
    fade = noise.memory ** np.arange(noise.depth + 1)
    fade /= np.sqrt((fade**2).sum())
    total = np.zeros((noise.top + 1, count, SHAPE[0]), complex)
    carry = _carry(noise)[:, None, :]
    for age in range(noise.depth, -1, -1):
        start = noise.depth - age
        total = carry * total + fade[age] * rows[:, start : start + count]
    values = np.fft.irfft(total * SHAPE[1], SHAPE[1], axis=0)
    # Rounded, so that no bit depends on how the library splits a matrix product.
    exact = np.round(values.transpose(2, 0, 1) * 4096.0) / 4096.0
    return exact.reshape(-1, count).astype(np.float32)


def _draw(noise: Noise, seed: int, step: int) -> Waves:
    """Random coefficients `(order, degree)` of one step."""
    # A counter-based generator: any step is drawn without drawing those before it.
    source = np.random.Philox(
        key=[seed & (2**64 - 1), noise.stream], counter=[0, 0, 0, step + 2**40]
    )
    normal = np.random.Generator(source).standard_normal((2, noise.top + 1, noise.top + 1))
    waves = (normal[0] + 1j * normal[1]) * np.sqrt(0.5)
    waves[0] = normal[0, 0]  # order 0 is real, and has the variance of both parts of the others
    scaled: Waves = waves * _amplitude(noise)
    return scaled


def _amplitude(noise: Noise) -> Reals:
    """Amplitude by degree, for unit variance on the sphere."""
    degree = np.arange(noise.top + 1)
    # Power of one coefficient: it rises up to the peak and then falls with the third power of the
    # degree, so that fields are smooth. Degree n has 2 n + 1 coefficients; the area is 4 pi.
    power = (degree / noise.peak) ** 2 / (1 + (degree / noise.peak) ** 5)
    amplitude: Reals = np.sqrt(power * 4 * np.pi / ((2 * degree + 1) * power).sum())
    return amplitude


def _rows(noise: Noise, waves: Waves) -> Waves:
    """Fourier coefficients along each row, `(order, step, row)`, of `waves`."""
    rows = np.empty((noise.top + 1, len(waves), SHAPE[0]), complex)
    for order, legendre in enumerate(_legendre(noise.top)):
        rows[order].real = waves.real[:, order, order:] @ legendre
        rows[order].imag = waves.imag[:, order, order:] @ legendre
    return rows


def _carry(noise: Noise) -> Waves:
    """Phase shift `(order, row)` of a wave in one step: eastwards in mid-latitudes."""
    far = np.abs(NODE_LAT)
    # Degrees per day: 10 eastwards at 47 degrees, the storm track, 4 westwards in the trades.
    speed = -4.0 + 14.0 * np.exp(-(((far - 47.0) / 17.0) ** 2)) if noise.drift else 0.0 * far
    turn: Waves = np.exp(-1j * np.radians(speed) * np.arange(noise.top + 1)[:, None])
    return turn


@lru_cache(maxsize=8)
def _legendre(top: int) -> tuple[Reals, ...]:
    """Orthonormal Legendre functions `(degree >= order, row)` of each order, by recursion."""
    # The stable recursion upwards in degree, normalised at each step: factorials would overflow.
    z, across = np.sin(np.radians(NODE_LAT)), np.cos(np.radians(NODE_LAT))
    tables, sector = [], np.full(z.size, np.sqrt(0.25 / np.pi))
    for m in range(top + 1):
        if m:
            sector = np.sqrt((2 * m + 1) / (2 * m)) * across * sector
        column = [sector, np.sqrt(2 * m + 3) * z * sector]
        for n in range(m + 2, top + 1):
            a = np.sqrt((4 * n * n - 1) / (n * n - m * m))
            b = np.sqrt(((n - 1) ** 2 - m * m) / (4 * (n - 1) ** 2 - 1))
            column.append(a * (z * column[-1] - b * column[-2]))
        tables.append(np.stack(column)[: top + 1 - m])
    return tuple(tables)
