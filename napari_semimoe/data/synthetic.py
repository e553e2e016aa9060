"""Drawn colon tissue with exact gland instances, for the demo and for tests.

Concentrations of two stains are drawn first and turned into colour by the Beer-Lambert law, as
light through a real section would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from napari_semimoe.core.values import Patch

#: Optical density in red, green, blue per unit of haematoxylin.
HAEMATOXYLIN = np.array([0.62, 0.70, 0.32], np.float32)

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stain:
    """The second stain beside haematoxylin: its colour, and how strongly it takes where."""

    density: tuple[float, float, float]  # optical density in red, green, blue per unit
    stroma: float
    epithelium: float
    membranes: float  # contrast of the cells' borders


#: Pink stroma, violet glands.
EOSIN = Stain((0.10, 0.62, 0.22), stroma=1.0, epithelium=1.0, membranes=0.1)
#: Brown glands in pale stroma: an antibody against the epithelium, shown with diaminobenzidine.
DIAMINOBENZIDINE = Stain((0.32, 0.62, 0.95), stroma=0.10, epithelium=1.7, membranes=0.25)


@dataclass(frozen=True, slots=True)
class _Gland:
    """A smooth closed outline around a centre, in pixels."""

    y: float
    x: float
    radius: float
    elongation: float
    angle: float
    waves: NDArray[np.float64]  # amplitude and phase of harmonics 2, 3, ...

    def normalised_distance(self, y: Field, x: Field) -> Field:
        """Distance from the centre in units of the outline: below 1 inside."""
        dy, dx = y - self.y, x - self.x
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        along = (dx * cosine + dy * sine) / self.elongation
        across = (dy * cosine - dx * sine) * self.elongation
        theta = np.arctan2(across, along)
        outline = np.ones_like(theta)
        for order, (amplitude, phase) in enumerate(self.waves, start=2):
            outline += amplitude * np.cos(order * theta + phase)
        return (np.hypot(along, across) / (self.radius * outline)).astype(np.float32)


def make_tissue(
    height: int, width: int, *, seed: int, um_per_px: float = 0.62, stain: Stain = EOSIN
) -> Patch:
    """Draw one tile.

    Parameters
    ----------
    height, width
        Size in pixels, each >= 1.
    seed
        Same seed and size: same tile, pixel by pixel.
    um_per_px
        Microns per pixel; glands keep their size in microns.
    stain
        `EOSIN` for H&E, or `DIAMINOBENZIDINE` for immunohistochemistry.

    Returns
    -------
    Patch
        Named ``synthetic-<seed>``, with instance ids 1.. without gaps. Some glands touch.
    """
    random = np.random.default_rng(seed)
    labels = _draw_instances(height, width, random, um_per_px)
    depth = _depth(labels)
    stains = _Stains(height, width, random, um_per_px, stain)
    stains.draw_stroma(labels == 0)
    stains.draw_glands(labels, depth)
    return Patch(stains.to_rgb(), labels, um_per_px, f"synthetic-{seed}")


def write_tiles(
    folder: Path,
    count: int,
    *,
    seed: int,
    size: tuple[int, int] = (522, 775),
    masks: bool = True,
    stain: Stain = EOSIN,
    name: str = "tissue",
) -> list[Path]:
    """Write tiles as ``NAME_N.png``, and their masks beside them as ``NAME_N_anno.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        patch = make_tissue(*size, seed=seed + number, stain=stain)
        paths.append(folder / f"{name}_{number + 1}.png")
        dots_per_inch = 25400 / patch.um_per_px
        Image.fromarray(patch.image).save(paths[-1], dpi=(dots_per_inch, dots_per_inch))
        if masks and patch.labels is not None:
            Image.fromarray(patch.labels).save(folder / f"{name}_{number + 1}_anno.png")
    return paths


def _draw_instances(
    height: int, width: int, random: np.random.Generator, um_per_px: float
) -> NDArray[np.uint16]:
    """Give each pixel to the gland in whose outline it lies deepest; neighbours then touch."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    best = np.ones((height, width), np.float32)
    owner = np.zeros((height, width), np.uint16)
    for number, gland in enumerate(_place_glands(height, width, random, um_per_px), start=1):
        reach = gland.radius * 2
        rows = slice(max(0, int(gland.y - reach)), max(0, int(gland.y + reach)))
        columns = slice(max(0, int(gland.x - reach)), max(0, int(gland.x + reach)))
        distance = gland.normalised_distance(y[rows, columns], x[rows, columns])
        nearer = distance < best[rows, columns]
        best[rows, columns][nearer] = distance[nearer]
        owner[rows, columns][nearer] = number
    ids, compact = np.unique(owner, return_inverse=True)
    first = 0 if ids[0] == 0 else 1
    return (compact.reshape(owner.shape) + first).astype(np.uint16)


def _place_glands(
    height: int, width: int, random: np.random.Generator, um_per_px: float
) -> Iterator[_Gland]:
    """Throw glands at the tile and keep those that do not sit on one another."""
    typical = random.uniform(42, 62) / um_per_px
    crowding = random.uniform(0.86, 1.05)  # below 1 neighbours touch
    margin = typical
    placed: list[_Gland] = []
    tries = int(40 + 30 * (height + 2 * margin) * (width + 2 * margin) / (typical * typical * 4))
    for _ in range(tries):
        gland = _Gland(
            y=random.uniform(-margin, height + margin),
            x=random.uniform(-margin, width + margin),
            radius=typical * random.uniform(0.6, 1.35),
            elongation=random.uniform(1.0, 1.3),
            angle=random.uniform(0, np.pi),
            waves=_waves(random),
        )
        if all(_apart(gland, other, crowding) for other in placed):
            placed.append(gland)
            yield gland


def _waves(random: np.random.Generator) -> NDArray[np.float64]:
    orders = np.arange(2, 8)
    amplitudes = random.normal(0, 0.16, len(orders)) / np.sqrt(orders) / (orders / 2)
    return np.stack([amplitudes, random.uniform(0, 2 * np.pi, len(orders))], axis=1)


def _apart(a: _Gland, b: _Gland, crowding: float) -> bool:
    return np.hypot(a.y - b.y, a.x - b.x) > crowding * (a.radius + b.radius)


def _depth(labels: NDArray[np.uint16]) -> Field:
    """Distance in pixels from a gland's own outline, 0 outside; the tile's edge is no outline."""
    padded = np.pad(labels, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    same = np.ones(labels.shape, bool)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        same &= np.roll(padded, step, axis)[1:-1, 1:-1] == inner
    inside = same & (labels > 0)
    if inside.all():
        return np.full(labels.shape, float(max(labels.shape)), np.float32)
    return distance_transform_edt(inside).astype(np.float32)


class _Stains:
    """Two stain concentrations that the parts of the tissue are painted into."""

    def __init__(
        self, height: int, width: int, random: np.random.Generator, um_per_px: float, stain: Stain
    ) -> None:
        self.stain = stain
        self.shape = (height, width)
        self.random = random
        self.px = 1 / um_per_px  # pixels per micron
        self.haematoxylin = np.full(self.shape, 0.02, np.float32)
        self.second = np.full(self.shape, 0.02, np.float32)

    def draw_stroma(self, where: NDArray[np.bool_]) -> None:
        """Pink fibres, gaps, and two kinds of nuclei: spindles and round immune cells."""
        fibres = self._fibres()
        gaps = np.clip(1.3 * self._noise(14) - 1.1, 0, 1)
        amount = np.clip(0.55 + 0.22 * fibres + 0.10 * self._noise(30), 0.12, None) * (1 - gaps)
        self.second[where] = self.stain.stroma * amount[where]
        self.haematoxylin[where] += (0.10 + 0.05 * self._noise(4))[where].clip(0)
        self._scatter(where, per_mm2=1500, long_um=5.5, short_um=1.8, strength=0.95)
        cells = where & (self._noise(40) > 0.2)
        self._scatter(cells, per_mm2=4200, long_um=3.1, short_um=2.7, strength=1.25)

    def draw_glands(self, labels: NDArray[np.uint16], depth: Field) -> None:
        """Epithelium with basal nuclei and mucin drops around a pale lumen."""
        wall = self._wall_thickness(labels)
        inside = labels > 0
        epithelium = inside & (depth < wall)
        lumen = inside & ~epithelium
        amount = 0.42 + self.stain.membranes * self._noise(3)
        self.second[epithelium] = self.stain.epithelium * amount[epithelium].clip(0.05)
        self.haematoxylin[epithelium] = (0.20 + 0.06 * self._noise(3))[epithelium].clip(0)
        self._draw_lumen(lumen)
        self._draw_mucin(epithelium & (depth > 0.5 * wall))
        self._draw_basal_nuclei(labels, depth, wall)

    def to_rgb(self) -> NDArray[np.uint8]:
        """Let light through: darkness of the stains, slight blur and camera noise."""
        strength = self.random.uniform(0.85, 1.2, 2)
        density = strength[0] * self.haematoxylin[..., None] * HAEMATOXYLIN + strength[
            1
        ] * self.second[..., None] * np.array(self.stain.density, np.float32)
        density = gaussian_filter(density, (0.45 * self.px, 0.45 * self.px, 0))
        light = 246 * np.exp(-density * 1.15)
        light += self.random.normal(0, 2.2, light.shape)
        return np.clip(light, 0, 255).astype(np.uint8)

    def _draw_lumen(self, lumen: NDArray[np.bool_]) -> None:
        debris = np.clip(self._noise(6) - 1.4, 0, 1)
        amount = 0.05 + 0.5 * debris + 0.03 * self._noise(10)
        self.second[lumen] = self.stain.stroma * amount[lumen].clip(0)
        self.haematoxylin[lumen] = (0.03 + 0.3 * debris)[lumen]

    def _draw_mucin(self, where: NDArray[np.bool_]) -> None:
        """Goblet cells: pale drops in the inner half of the wall."""
        for y, x, angle in self._points(where, per_mm2=2600):
            drop = self._ellipse(y, x, angle, 4.6, 3.4)
            if drop is not None:
                window, weight = drop
                weight = weight * where[window]
                self.second[window] *= 1 - 0.8 * weight
                self.haematoxylin[window] *= 1 - 0.55 * weight

    def _draw_basal_nuclei(self, labels: NDArray[np.uint16], depth: Field, wall: Field) -> None:
        """Elongated nuclei near the outline, standing on it."""
        smooth = np.pad(gaussian_filter(depth, 2), 1, mode="edge")  # so that one pixel has a slope
        slope_y, slope_x = (slope[1:-1, 1:-1] for slope in np.gradient(smooth))
        ring = (labels > 0) & (depth > 0.12 * wall) & (depth < 0.52 * wall)
        for y, x, _ in self._points(ring, per_mm2=17000):
            angle = np.arctan2(slope_y[y, x], slope_x[y, x]) + self.random.normal(0, 0.2)
            size = self.random.uniform(0.85, 1.15)
            self._nucleus(y, x, angle, 4.7 * size, 2.2 * size, 1.05, labels)

    def _wall_thickness(self, labels: NDArray[np.uint16]) -> Field:
        each = self.random.uniform(17, 27, int(labels.max()) + 1).astype(np.float32) * self.px
        return each[labels] * (1 + 0.13 * self._noise(12))

    def _scatter(
        self,
        where: NDArray[np.bool_],
        *,
        per_mm2: float,
        long_um: float,
        short_um: float,
        strength: float,
    ) -> None:
        for y, x, angle in self._points(where, per_mm2=per_mm2):
            size = self.random.uniform(0.8, 1.25)
            self._nucleus(y, x, angle, long_um * size, short_um * size, strength, where)

    def _nucleus(
        self,
        y: int,
        x: int,
        angle: float,
        long_um: float,
        short_um: float,
        strength: float,
        region: NDArray,
    ) -> None:
        """Paint one nucleus; it does not reach into another region than its centre's."""
        found = self._ellipse(y, x, angle, long_um, short_um)
        if found is None:
            return
        window, weight = found
        weight = weight * (region[window] == region[y, x])
        amount = strength * self.random.uniform(0.75, 1.2)
        old = self.haematoxylin[window]
        self.haematoxylin[window] = np.maximum(old, amount * weight)

    def _ellipse(
        self, y: int, x: int, angle: float, long_um: float, short_um: float
    ) -> tuple[tuple[slice, slice], Field] | None:
        """Return a window of the tile and how much of each of its pixels the ellipse covers."""
        reach = int(long_um * self.px) + 2
        window = (
            slice(max(0, y - reach), min(self.shape[0], y + reach + 1)),
            slice(max(0, x - reach), min(self.shape[1], x + reach + 1)),
        )
        rows, columns = np.mgrid[window].astype(np.float32)
        along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        radius = np.hypot(along / (long_um * self.px), across / (short_um * self.px))
        weight = np.clip((1.15 - radius) / 0.3, 0, 1).astype(np.float32)
        return (window, weight) if weight.any() else None

    def _points(
        self, where: NDArray[np.bool_], *, per_mm2: float
    ) -> Iterator[tuple[int, int, float]]:
        """Yield random pixels of a region, at a given density, with a random direction."""
        rows, columns = np.nonzero(where)
        count = self.random.poisson(len(rows) / (self.px * 1000) ** 2 * per_mm2)
        if not count or not len(rows):
            return
        for index in self.random.integers(0, len(rows), count):
            yield int(rows[index]), int(columns[index]), self.random.uniform(0, np.pi)

    def _noise(self, size_um: float) -> Field:
        """Smooth noise with mean 0 and deviation 1, its grain given in microns."""
        field = gaussian_filter(
            self.random.standard_normal(self.shape).astype(np.float32), size_um * self.px / 2
        )
        return field / max(float(field.std()), 1e-6)

    def _fibres(self) -> Field:
        """Wavy strands: a striped pattern whose phase drifts."""
        drift = gaussian_filter(self.random.standard_normal(self.shape), 25 * self.px)
        drift /= max(float(drift.std()), 1e-6)
        y, x = np.mgrid[: self.shape[0], : self.shape[1]]
        angle = self.random.uniform(0, np.pi)
        phase = (x * np.sin(angle) + y * np.cos(angle)) / (2.2 * self.px) + 9 * drift
        return (np.sin(phase) * 0.6 + 0.6 * self._noise(5)).astype(np.float32)
