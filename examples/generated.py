"""A small data set made of nothing: furry bodies with a mark of their class, on textured grounds.

As in photographs, the class of an object shows in a small part of it, which is all that a
classifier needs to look at. Bodies and grounds take their colours from the same distribution, so
that no threshold on colour tells them apart; what does is texture, over many images.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from c2am_plugin import write_label

CLASSES = ("background", "rings", "checks", "cross", "dots", "plain")
SIDE = 144


def make_image(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One photograph uint8 144×144×3 and its ground truth uint8 144×144 of indices of CLASSES."""
    rng = np.random.default_rng(seed)
    palette = colours(rng)
    photo, truth = ground(rng, palette), np.zeros((SIDE, SIDE), np.uint8)
    count = rng.choice((1, 2), p=(0.7, 0.3))
    for c in rng.choice(len(CLASSES) - 1, count, replace=False) + 1:
        scale = rng.uniform(40, 56) if count == 1 else rng.uniform(30, 37)
        body = blob(rng, scale, truth > 0)
        tones = varied(rng, palette)
        photo[body] = fur(rng, tones)[body]
        truth[body] = c
        if CLASSES[c] != "plain":
            stamp(photo, body, tones, mark(rng, CLASSES[c]), scale, rng)
    grain = rng.normal(0, 0.02, photo.shape)
    return np.rint(255 * np.clip(photo + grain, 0, 1)).astype(np.uint8), truth


def make_folder(folder: Path, count: int) -> None:
    """Write JPEGImages/<id>.png, SegmentationClass/<id>.png and names.txt."""
    for seed in range(count):
        photo, truth = make_image(seed)
        path = folder / "JPEGImages" / f"{seed:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
        write_label(folder / "SegmentationClass" / f"{seed:04d}.png", truth)
    (folder / "names.txt").write_text("\n".join(CLASSES) + "\n")


def colours(rng: np.random.Generator) -> np.ndarray:
    """A dark and a light colour of any hue: float 2×3 in [0, 1]."""
    low = rng.uniform(0.2, 0.45)
    values = (low, low + rng.uniform(0.25, 0.4))
    return np.array([colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, 0.7), v) for v in values])


def varied(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """Nearly the same two colours: bodies hide in their ground."""
    return np.clip(palette + rng.normal(0, 0.05, palette.shape), 0, 1)


def blend(weight: np.ndarray, palette: np.ndarray) -> np.ndarray:
    dark, light = palette
    mixed: np.ndarray = dark + weight[..., None] * (light - dark)
    return mixed


def noise(rng: np.random.Generator, sigma: float | tuple[float, float]) -> np.ndarray:
    """Smooth noise 144×144 in [0, 1]."""
    field = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), sigma, mode="wrap")
    return (field - field.min()) / np.ptp(field)


def ground(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """Clouds, stones or planks: float 144×144×3 in [0, 1]."""
    kind = rng.integers(3)
    if kind == 0:
        weight = 0.7 * noise(rng, rng.uniform(8, 16)) + 0.3 * noise(rng, 2)
    elif kind == 1:
        seeds = rng.uniform(0, SIDE, (rng.integers(20, 60), 2))
        y, x = np.mgrid[:SIDE, :SIDE]
        distance = (y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2
        weight = rng.random(len(seeds))[distance.argmin(axis=2)] * 0.8 + 0.2 * noise(rng, 1)
    else:
        along = noise(rng, (12, 1.5) if rng.random() < 0.5 else (1.5, 12))
        weight = 0.8 * along + 0.2 * noise(rng, 6)
    return blend(weight, palette)


def fur(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """Short crossed strokes: float 144×144×3 in [0, 1]."""
    y, x = np.mgrid[:SIDE, :SIDE]
    angle, period = rng.uniform(0, np.pi), rng.uniform(4, 6)
    bend = 3 * noise(rng, 8)
    phase = (np.cos(angle) * x + np.sin(angle) * y) / period + bend
    weight = 0.5 + 0.5 * np.sin(2 * np.pi * phase)
    return blend(0.8 * weight + 0.2 * noise(rng, 1), palette)


def blob(rng: np.random.Generator, scale: float, taken: np.ndarray) -> np.ndarray:
    """A body with a wavy outline, bool 144×144, mostly where nothing is yet."""
    y, x = np.mgrid[:SIDE, :SIDE]
    best, least = np.zeros((SIDE, SIDE), bool), np.inf
    for _ in range(10):
        centre = rng.uniform(scale * 0.8, SIDE - scale * 0.8, 2)
        stretch, turn = rng.uniform(1, 1.6), rng.uniform(0, np.pi)
        dy, dx = y - centre[0], x - centre[1]
        u = (np.cos(turn) * dx + np.sin(turn) * dy) / stretch
        v = (np.cos(turn) * dy - np.sin(turn) * dx) * stretch**0.5
        angle = np.arctan2(v, u)
        waves = sum(
            rng.uniform(0.03, 0.12) * np.sin(k * angle + rng.uniform(0, 6)) for k in (2, 3, 5)
        )
        body = np.hypot(u, v) < scale * 0.8 * (1 + waves)
        overlap = (body & taken).sum()
        if overlap < least:
            best, least = body & ~taken, overlap
    return best


def mark(rng: np.random.Generator, name: str) -> np.ndarray:
    """The mark of a class, float 24×24 in [0, 1], turned at random."""
    y, x = (np.mgrid[:24, :24] - 11.5) / 11.5
    turn = rng.uniform(0, np.pi)
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    shapes = {
        "rings": np.sin(3 * np.pi * np.hypot(u, v)) > 0,
        "checks": np.sin(2.5 * np.pi * u) * np.sin(2.5 * np.pi * v) > 0,
        "cross": (np.abs(u) < 0.22) | (np.abs(v) < 0.22),
        "dots": np.hypot(u % 0.66 - 0.33, v % 0.66 - 0.33) < 0.22,
    }
    return shapes[name].astype(float)


def stamp(
    photo: np.ndarray,
    body: np.ndarray,
    tones: np.ndarray,
    shape: np.ndarray,
    scale: float,
    rng: np.random.Generator,
) -> None:
    """Put the mark of a class on a body, inside its outline and in its colours, but stronger."""
    inside = ndimage.distance_transform_edt(body)
    y, x = np.nonzero(inside >= 0.65 * inside.max())
    pick = rng.integers(len(y))
    size = int(0.7 * scale)
    weight = ndimage.zoom(shape, size / len(shape), order=1)
    top, left = np.clip([y[pick] - size // 2, x[pick] - size // 2], 0, SIDE - size)
    disc = np.hypot(*(np.mgrid[:size, :size] - (size - 1) / 2)) <= size / 2
    where = disc & body[top : top + size, left : left + size]
    middle = tones.mean(axis=0)
    tones = np.clip(middle + 1.6 * (tones - middle), 0, 1)
    photo[top : top + size, left : left + size][where] = blend(weight, tones)[where]
