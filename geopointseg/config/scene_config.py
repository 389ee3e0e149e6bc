"""Settings of the input: how scenes are read, and how chips are drawn from them and varied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from geopointseg.errors import ConfigError
from geopointseg.setting import setting
from geopointseg.summary import described


@described
@dataclass(frozen=True)
class SceneConfig:
    """How scenes are read."""

    bands: tuple[str, ...] = setting(
        (),
        "Bands to read: numbers from 1, names, or formulas like 'ndvi = (nir - red) / (nir + red)'; empty reads all.",
    )
    matching: Literal[
        "none", "invariant", "mixed", "histogram", "midpoint", "mean-std", "percentile", "equalize"
    ] = setting(
        "none",
        "Radiometric matching of every scene to the reference, in training and in prediction; 'invariant' fits to pixels "
        "of the shared area that did not change, or to percentiles where no area is shared; 'mixed' also mixes the bands "
        "linearly, for images of different cameras.",
    )
    reference: str = setting(
        "", "Scene that all others are matched to; empty takes all training scenes together."
    )
    dates: Literal["scenes", "channels"] = setting(
        "scenes", "Whether several dates of one place are more scenes, or channels of one."
    )
    stack: Literal["auto", "never", "always"] = setting(
        "auto", "Whether one-band files of one footprint are bands of one scene."
    )
    nodata: str = setting("", "Nodata value that the files do not declare.")
    decode: str = setting(
        "",
        "How stored values become the numbers of an embedding: empty recognizes products, 'none' reads values as they are, or "
        "AlphaEarth, TESSERA, OlmoEarth, a formula of v, a table (.csv), a raster of scales ('{stem}_scales.tif').",
    )
    companion: str = setting(
        "",
        "Embedding of the same ground beside sharper imagery: each is learnt by members of its own, which are combined.",
    )
    dimensions: int = setting(
        0, "Dimensions of an embedding to read, from the first; 0 reads all.", minimum=0
    )

    @property
    def reading(self) -> dict[str, Any]:
        """Arguments of `open_scenes`: ``stack``, ``dates``, ``decode``, ``dimensions``, and ``nodata`` as a number or None.

        Raises
        ------
        ConfigError
            If the nodata value is not a number.
        """
        try:
            nodata = _number(self.nodata) if self.nodata else None
        except ValueError:
            raise ConfigError(
                f"[scene] nodata is '{self.nodata}'. Expected a number, nan, or nothing where the files declare it."
            ) from None
        return {
            "stack": self.stack,
            "dates": self.dates,
            "nodata": nodata,
            "decode": self.decode,
            "dimensions": self.dimensions,
        }


def _number(text: str) -> float:
    """Return a number from its text; whole numbers exactly, whatever their size."""
    try:
        return int(text)
    except ValueError:
        return float(text)


CHIP_SIZES = {"cpu": 96, "cuda": 192}
"""Side of a training chip in pixels by kind of device, where all chips have one size. For a network from random weights, chips of
twice the side gain about 6 points of mean F1 at equal numbers of steps, and take four times as long on a CPU."""
SMALLEST_CHIP = 32


@described
@dataclass(frozen=True)
class SamplingConfig:
    """How chips are drawn from the scenes."""

    chip_size: int = setting(
        0,
        "Side of a training chip in pixels; 0 takes 96 on a CPU and with wide_steps, and 192 on a GPU.",
        minimum=0,
        maximum=2048,
    )
    batch_size: int = setting(8, "Chips in one optimizer step.", minimum=2, maximum=1024)
    wide_steps: Literal["auto", "none", "half"] = setting(
        "auto",
        "Steps whose chips have twice the side and are a quarter as many: none, or half of the steps where all imagery in memory is as large "
        "as such a chip. 'auto' takes half for the network on the pretrained backbone. Not used by 'pretrain'.",
    )
    class_balance: float = setting(
        0.5,
        "0 draws classes as often as they have points, 1 draws all classes equally often.",
        minimum=0,
        maximum=1,
    )
    jitter: float = setting(
        0.9,
        "Largest offset of a point from the centre of its chip, as a share of half the chip.",
        minimum=0,
        maximum=1,
    )
    point_share: float = setting(
        0.5,
        "Share of the chips of a step that are drawn around points; the others are drawn anywhere.",
        minimum=0,
        maximum=1,
    )
    area_mpx: float = setting(
        8.0,
        "Megapixels of imagery that training reads; of larger scenes, windows around the labels and some others are kept.",
        minimum=0.01,
    )
    memory_mb: int = setting(
        2048,
        "Memory in MB for the imagery, its labels and its soft labels; fewer windows are kept where it is too small.",
        minimum=16,
    )
    workers: int = setting(
        0, "Processes that read chips; 0 reads in the training process.", minimum=0, maximum=64
    )

    @property
    def largest_chip(self) -> int:
        """Side of the largest chips in pixels."""
        return 2 * self.chip_size if self.wide_steps == "half" else self.chip_size

    def on_device(self, kind: str) -> SamplingConfig:
        """Return the settings with the chip size of a kind of device, ``cpu`` or ``cuda``, where none was set.

        Raises
        ------
        ConfigError
            If chips are smaller than the encoder can downsample.
        """
        if 0 < self.chip_size < SMALLEST_CHIP:
            raise ConfigError(
                f"[sampling] chip_size is {self.chip_size}. Expected {SMALLEST_CHIP} to 2048, or 0 for the default of the device."
            )
        return replace(self, chip_size=self.chip_size or CHIP_SIZES.get(kind, CHIP_SIZES["cpu"]))


@described
@dataclass(frozen=True)
class AugmentationConfig:
    """Data augmentation of chips; 0 (1 for scale and gamma) switches a transformation off."""

    symmetry: bool = setting(True, "Flip chips and rotate them by multiples of 90 degrees.")
    scale: float = setting(1.25, "Largest magnification.", minimum=1, maximum=4)
    scale_probability: float = setting(0.5, "Share of chips that are scaled.", minimum=0, maximum=1)
    gain: float = setting(
        0.1, "Standard deviation of the logarithm of the gain per band.", minimum=0, maximum=1
    )
    offset: float = setting(
        0.15, "Standard deviation of the additive offset per band.", minimum=0, maximum=2
    )
    gamma: float = setting(1.2, "Largest exponent of the gamma correction.", minimum=1, maximum=4)
    dropout: float = setting(
        0.0, "Probability that a band of a chip is set to zero.", minimum=0, maximum=1
    )
    noise: float = setting(
        0.05, "Largest standard deviation of the additive noise.", minimum=0, maximum=2
    )
    blur: float = setting(
        0.7, "Largest standard deviation of the Gaussian blur, in pixels.", minimum=0, maximum=8
    )
    style: float = setting(
        0.0,
        "Share of chips that are matched to the radiometry of another training scene.",
        minimum=0,
        maximum=1,
    )
    blur_probability: float = setting(
        0.15, "Share of chips that are blurred.", minimum=0, maximum=1
    )
