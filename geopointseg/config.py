"""Every setting of geopointseg: its default, its help text and its range, in one place.

The settings are frozen dataclasses, one a section, that mirror one TOML file. The command line, the QGIS forms
and the documentation take defaults and help texts from here and from nowhere else, so they cannot drift apart.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from geopointseg.errors import ConfigError, InputFileError, nearest_names
from geopointseg.setting import check_values, format_toml, setting, update_section
from geopointseg.summary import described, join_names


@described
@dataclass(frozen=True)
class ModelConfig:
    """The network: architecture, encoder and starting weights."""

    architecture: str = setting(
        "unet", "Segmentation architecture, any of segmentation-models-pytorch, or fcn."
    )
    encoder: str = setting("resnet18", "Encoder of the network; 'tu-NAME' takes any timm encoder.")
    encoder_depth: int = setting(
        3, "Number of times the encoder halves the resolution.", minimum=3, maximum=5
    )
    decoder_channels: tuple[int, ...] = setting(
        (64, 32, 16),
        "Width of the decoder's stages, coarse to fine (U-Net and its kin).",
        minimum=1,
        maximum=8192,
        shortest=1,
    )
    weights: str = setting(
        "none",
        "Starting weights: a name, a file, a folder made by 'pretrain', or 'none' for random ones.",
    )
    freeze_encoder: bool = setting(False, "Keep the encoder's weights as they came.")
    norm: Literal["batch", "group"] = setting(
        "batch",
        "Normalization inside the network; 'group' does not depend on the rest of the batch.",
    )
    upsampling: Literal["auto", "nearest", "bilinear", "transposed", "unpooling"] = setting(
        "auto",
        "How the decoder doubles the resolution. 'auto' is the architecture's own way; with it, fcn keeps the full "
        "resolution. 'unpooling' needs an encoder that pools, such as fcn's or vgg11_bn.",
    )


@described
@dataclass(frozen=True)
class SceneConfig:
    """What is read from the scenes."""

    bands: tuple[str, ...] = setting(
        (),
        "Bands to read: numbers from 1, names, or formulas like 'ndvi = (nir - red) / (nir + red)'; empty reads all.",
    )
    matching: Literal[
        "none", "invariant", "mixed", "histogram", "midpoint", "mean-std", "percentile", "equalize"
    ] = setting(
        "none",
        "How every scene is given the style of the reference, in training and in prediction; 'invariant' fits to "
        "shared ground that did not change, and to percentiles where no ground is shared; 'mixed' does the same and "
        "also mixes the bands linearly, for images of different cameras.",
    )
    reference: str = setting(
        "", "Scene whose style all others take; empty takes all training scenes together."
    )
    dates: Literal["scenes", "channels"] = setting(
        "scenes", "Whether several dates of one place are more scenes, or channels of one."
    )
    stack: Literal["auto", "never", "always"] = setting(
        "auto", "Whether one-band files of one footprint are bands of one scene."
    )
    nodata: str = setting("", "Nodata value that the files do not declare.")

    @property
    def reading(self) -> dict[str, Any]:
        """How `open_scenes` is to read: ``stack``, ``dates``, and ``nodata`` as a number or None.

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
        return {"stack": self.stack, "dates": self.dates, "nodata": nodata}


def _number(text: str) -> float:
    """Return a number as it is written: a whole one exactly, whatever its size."""
    try:
        return int(text)
    except ValueError:
        return float(text)


CHIP_SIZES = {"cpu": 96, "cuda": 192}
"""Side of a training chip in pixels by kind of device. At equal steps, chips of twice the side gain some 6 points of mean
F1, but on a processor they take four times as long."""
SMALLEST_CHIP = 32


@described
@dataclass(frozen=True)
class SamplingConfig:
    """How chips are drawn from the scenes."""

    chip_size: int = setting(
        0,
        "Side of a training chip in pixels; 0 takes 96 on a processor, and 192 on a GPU, where larger steps cost little.",
        minimum=0,
        maximum=2048,
    )
    batch_size: int = setting(8, "Chips in one optimizer step.", minimum=2, maximum=1024)
    class_balance: float = setting(
        0.5, "0 draws points as they are, 1 draws every class equally often.", minimum=0, maximum=1
    )
    jitter: float = setting(
        0.9,
        "How far a point may lie from its chip's centre, as a share of half the chip.",
        minimum=0,
        maximum=1,
    )
    point_share: float = setting(
        0.5,
        "Share of a step's chips that are drawn around points; the rest is drawn anywhere.",
        minimum=0,
        maximum=1,
    )
    area_mpx: float = setting(
        8.0,
        "Megapixels of imagery that training looks at; of larger scenes, windows around the labels and some others are kept.",
        minimum=0.01,
    )
    memory_mb: int = setting(
        2048,
        "Memory for that imagery, its labels and what teachers say of it; fewer windows are kept where it is short.",
        minimum=16,
    )
    workers: int = setting(
        0, "Processes that read chips; 0 reads in the training process.", minimum=0, maximum=64
    )

    def on_device(self, kind: str) -> SamplingConfig:
        """Return the settings with the size of chips decided for a kind of device, ``cpu`` or ``cuda``.

        Raises
        ------
        ConfigError
            If chips are smaller than networks can halve.
        """
        if 0 < self.chip_size < SMALLEST_CHIP:
            raise ConfigError(
                f"[sampling] chip_size is {self.chip_size}. Expected {SMALLEST_CHIP} to 2048, or 0 for what suits the device."
            )
        return replace(self, chip_size=self.chip_size or CHIP_SIZES.get(kind, CHIP_SIZES["cpu"]))


@described
@dataclass(frozen=True)
class LossConfig:
    """The loss on labelled pixels."""

    gamma: float = setting(
        1.0, "Focusing exponent of the focal loss; 0 is plain cross-entropy.", minimum=0, maximum=10
    )
    class_weight_power: float = setting(
        0.5,
        "Class weights are count ** -power, so 0 weighs all points alike.",
        minimum=0,
        maximum=1,
    )
    class_weight_range: tuple[float, float] = setting(
        (0.3, 3.0), "Class weights are clipped to this range.", minimum=0, ascending=True
    )
    label_smoothing: float = setting(
        0.0, "Share of the target given to the other classes.", minimum=0, maximum=0.5
    )


@described
@dataclass(frozen=True)
class OptimizationConfig:
    """The optimizer and the length of the training."""

    minutes: float = setting(10.0, "Most minutes that a training takes.", minimum=0.05)
    steps: int = setting(
        0, "Number of optimizer steps; 0 trains until the time budget is used.", minimum=0
    )
    most_passes: float = setting(
        80.0,
        "A training by time ends early when every pixel was seen so often, but not before 2000 steps: taught for longer, "
        "a network takes over the forest's mistakes. 0 always uses the time.",
        minimum=0,
    )
    encoder_learning_rate: float = setting(1e-3, "Peak learning rate of the encoder.", minimum=0)
    encoder_rate_decay: float = setting(
        1.0,
        "Factor on the learning rate from each stage of the encoder to the one before it; 1 trains all alike.",
        minimum=0,
        maximum=1,
    )
    decoder_learning_rate: float = setting(
        2e-3, "Peak learning rate of decoder and head.", minimum=0
    )
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", minimum=0)
    warmup: float = setting(
        0.05, "Share of the budget in which the learning rate rises.", minimum=0, maximum=0.5
    )
    gradient_clip: float = setting(1.0, "Largest norm of the gradient.", minimum=0)
    precision: Literal["auto", "float32"] = setting(
        "auto",
        "Floats that networks are trained with; auto takes 16 bits where the processor or GPU multiplies them itself.",
    )


@described
@dataclass(frozen=True)
class AugmentationConfig:
    """How chips are varied; 0 (1 for scale and gamma) switches a kind of variation off."""

    symmetry: bool = setting(True, "Flip chips and turn them by quarters.")
    scale: float = setting(1.25, "Largest magnification.", minimum=1, maximum=4)
    scale_probability: float = setting(0.5, "Share of chips that are scaled.", minimum=0, maximum=1)
    gain: float = setting(0.1, "Deviation of the factor that each band gets.", minimum=0, maximum=1)
    offset: float = setting(
        0.15, "Deviation of the summand that each band gets.", minimum=0, maximum=2
    )
    gamma: float = setting(1.2, "Largest exponent that bends the values.", minimum=1, maximum=4)
    dropout: float = setting(
        0.0, "Probability that a band of a chip is blanked.", minimum=0, maximum=1
    )
    noise: float = setting(0.05, "Largest deviation of the noise.", minimum=0, maximum=2)
    blur: float = setting(
        0.7, "Largest deviation of the smoothing, in pixels.", minimum=0, maximum=8
    )
    style: float = setting(
        0.0, "Share of chips that take the style of another training scene.", minimum=0, maximum=1
    )
    blur_probability: float = setting(
        0.15, "Share of chips that are smoothed.", minimum=0, maximum=1
    )


@described
@dataclass(frozen=True)
class ForestConfig:
    """The random forest on filter features: baseline, teacher and member of the ensemble."""

    features: Literal["pixel", "filters", "context"] = setting(
        "context",
        "Single pixels; filters at several scales; or context: what held-out ground prefers of both, smoothed and balanced.",
    )
    trees: int = setting(300, "Number of trees.", minimum=10, maximum=5000)


@described
@dataclass(frozen=True)
class TeachingConfig:
    """What the network learns from pixels that nobody labelled; a weight of 0 switches a part off."""

    distillation_weight: float = setting(
        4.0, "Weight of the loss to the forest's probabilities (Hinton et al. 2015).", minimum=0
    )
    sharpening: float = setting(
        1.0,
        "The forest's probabilities are raised to this power before they teach.",
        minimum=0.1,
        maximum=10,
    )
    confidence_power: float = setting(
        0.0,
        "Taught pixels weigh (1 - normalized entropy) to this power; 0 weighs all alike.",
        minimum=0,
    )
    ema_decay: float = setting(
        0.99,
        "Decay of the moving average of the weights that is kept as the model; 0 keeps the last weights.",
        minimum=0,
        maximum=0.99999,
    )
    consistency_weight: float = setting(
        0.0,
        "Weight of the consistency with the averaged network (Tarvainen and Valpola 2017).",
        minimum=0,
    )
    consistency: Literal["labels", "squares", "kl"] = setting(
        "labels",
        "What the averaged network teaches: labels where it is sure (Sohn et al. 2020), or its probabilities, by squared "
        "differences (Tarvainen and Valpola 2017) or Kullback-Leibler divergence.",
    )
    consistency_start: float = setting(
        0.15, "Share of the budget after which consistency begins.", minimum=0, maximum=1
    )
    consistency_ramp: float = setting(
        0.4, "Share of the budget at which consistency has its full weight.", minimum=0, maximum=1
    )
    threshold_start: float = setting(
        0.8,
        "Confidence a pseudo-label needs at first; lower for classes of which the averaged network is less sure.",
        minimum=0,
        maximum=1,
    )
    threshold_end: float = setting(
        0.95, "Confidence a pseudo-label needs at the end.", minimum=0, maximum=1
    )
    cutmix: float = setting(
        0.5,
        "Share of unlabelled chips that get a piece of another one (Yun et al. 2019).",
        minimum=0,
        maximum=1,
    )
    expansion: Literal["none", "superpixels", "region"] = setting(
        "none", "Grow points to their SLIC superpixel, or to the region of like pixels around them."
    )
    expansion_weight: float = setting(
        0.4, "Weight of a pixel that a point was grown to.", minimum=0, maximum=1
    )
    expansion_until: float = setting(
        0.7, "Share of the budget after which grown labels have faded out.", minimum=0, maximum=1
    )
    expansion_px: int = setting(
        7, "Side of a superpixel, or reach of a region, in pixels.", minimum=2, maximum=200
    )
    dice_weight: float = setting(0.0, "Weight of the soft Dice loss on grown labels.", minimum=0)
    lovasz_weight: float = setting(
        0.0, "Weight of the Lovasz-softmax loss on grown labels (Berman et al. 2018).", minimum=0
    )
    affinity_weight: float = setting(
        0.0,
        "Weight of the loss on neighbours that look alike but differ in class (Obukhov et al. 2019).",
        minimum=0,
    )
    entropy_weight: float = setting(
        0.0, "Weight of the entropy on unlabelled pixels (Grandvalet and Bengio 2004).", minimum=0
    )
    self_training: bool = setting(
        False, "Teach by the mean of forest and averaged network once held-out points are revealed."
    )


@described
@dataclass(frozen=True)
class SelectionConfig:
    """How held-out points choose between network and forest."""

    held_out: float = setting(
        0.2,
        "Share of the labelled pixels held out by blocks of ground to weigh the members.",
        minimum=0,
        maximum=0.5,
    )
    reveal_at: float = setting(
        0.7,
        "Share of the budget after which the network also learns from the held-out points.",
        minimum=0.2,
        maximum=1,
    )
    checks: int = setting(
        5, "How often the held-out points are scored before that.", minimum=1, maximum=100
    )
    patience: int = setting(
        100,
        "Checks without improvement after which training goes on to its last part; with 'checks' or more, never.",
        minimum=1,
        maximum=100,
    )
    least_steps: int = setting(
        60, "A network that got fewer steps than this in its time is not kept by 'auto'.", minimum=0
    )
    forest_below: int = setting(
        100, "With fewer labelled pixels than this, 'auto' takes the forest alone.", minimum=0
    )


@described
@dataclass(frozen=True)
class PretrainingConfig:
    """Learning from unlabelled rasters alone."""

    mask_share: float = setting(
        0.6, "Share of a chip that is hidden (He et al. 2022).", minimum=0, maximum=0.95
    )
    mask_px: int = setting(8, "Side of the hidden squares, in pixels.", minimum=1, maximum=128)
    noise: float = setting(
        0.25, "Deviation of the noise that is to be removed.", minimum=0, maximum=2
    )


@described
@dataclass(frozen=True)
class PredictionConfig:
    """How maps are computed."""

    window_px: int = setting(
        512, "Side of the windows that the model sees, in pixels.", minimum=32, maximum=8192
    )
    overlap_px: int = setting(
        -1, "Overlap of neighbouring windows in pixels; -1 takes what the model needs.", minimum=-1
    )
    batch_size: int = setting(
        0,
        "Windows in one forward pass; 0 takes one, which is fastest on a processor, or four on a GPU.",
        minimum=0,
        maximum=256,
    )
    tta: Literal["none", "flip", "d4", "scales"] = setting(
        "none", "Average over flips, over flips and rotations, or over three scales."
    )
    blend: Literal["hann", "gaussian", "crop"] = setting(
        "hann", "How overlapping windows are combined."
    )
    backend: Literal["auto", "torch", "onnxruntime", "openvino"] = setting(
        "torch",
        "What runs the network; auto measures and keeps the fastest that agrees with torch.",
    )
    encoding: Literal["uint8", "float32"] = setting(
        "uint8", "How probabilities and uncertainty are stored: in steps of 0.004, or in full."
    )


@described
@dataclass(frozen=True)
class Config:
    """All settings, one section each; the same structure as the TOML file.

    Examples
    --------
    >>> Config().loss.gamma
    1.0
    >>> Config().updated({"loss": {"gamma": 2}}).loss.gamma
    2.0

    Raises
    ------
    ConfigError
        If a value is of another type or out of range.
    """

    model: ModelConfig = ModelConfig()
    scene: SceneConfig = SceneConfig()
    sampling: SamplingConfig = SamplingConfig()
    loss: LossConfig = LossConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    forest: ForestConfig = ForestConfig()
    teaching: TeachingConfig = TeachingConfig()
    selection: SelectionConfig = SelectionConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    prediction: PredictionConfig = PredictionConfig()

    def _summary(self) -> list[str]:
        usual = Config().to_dict()
        changed = [
            f"{section}.{name} = {value!r}"
            for section, values in self.to_dict().items()
            for name, value in values.items()
            if value != usual[section][name]
        ]
        return [f"Config: {join_names(changed) or 'all settings as by default'}"]

    def _table(self) -> tuple[list[str], list[list[object]]]:
        usual = Config().to_dict()
        rows: list[list[object]] = [
            [section, name, value, usual[section][name]]
            for section, values in self.to_dict().items()
            for name, value in values.items()
            if value != usual[section][name]
        ]
        return ["section", "setting", "value", "default"], rows

    def __post_init__(self) -> None:
        for section in dataclasses.fields(self):
            value = getattr(self, section.name)
            check_values(section.name, type(value), vars(value))

    def on_device(self, kind: str) -> Config:
        """Return the settings with what depends on the kind of device, ``cpu`` or ``cuda``, decided."""
        return replace(self, sampling=self.sampling.on_device(kind))

    @classmethod
    def read(cls, path: str | Path) -> Config:
        """Read settings from a TOML file; what it does not name keeps its default.

        Raises
        ------
        InputFileError
            If the file is missing or not TOML.
        ConfigError
            If a section, name or value is unknown or out of range; the message names the nearest ones.
        """
        try:
            return cls().updated(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputFileError(
                f"The settings file '{path}' does not exist. Check the path."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputFileError(
                f"'{path}' is not a TOML file ({error}). Expected sections like [loss] with lines like gamma = 1.0."
            ) from error

    def updated(self, values: dict[str, Any]) -> Config:
        """Return a copy with some settings changed, checked like those of a file.

        Parameters
        ----------
        values
            ``{section: {name: value}}``.
        """
        sections = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, changes in values.items():
            if name not in sections:
                raise ConfigError(
                    f"There is no section [{name}] in the settings. {nearest_names(name, sections)}"
                )
            if not isinstance(changes, dict):
                raise ConfigError(
                    f"[{name}] holds {changes!r}. Expected a section with named settings."
                )
            sections[name] = update_section(name, sections[name], changes)
        return Config(**sections)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return all settings as ``{section: {name: value}}``, ready for JSON or TOML."""
        return {
            f.name: {
                k: list(v) if isinstance(v, tuple) else v
                for k, v in vars(getattr(self, f.name)).items()
            }
            for f in dataclasses.fields(self)
        }

    def to_toml(self) -> str:
        """Return all settings as TOML, each with its help text as a comment."""
        lines: list[str] = []
        for section in dataclasses.fields(self):
            value = getattr(self, section.name)
            lines += [f"[{section.name}]"]
            for f in dataclasses.fields(value):
                lines += [
                    f"# {f.metadata['help']}",
                    f"{f.name} = {format_toml(getattr(value, f.name))}",
                ]
            lines += [""]
        return "\n".join(lines)


def help_text(section: str, name: str) -> str:
    """Return the help text of one setting."""
    return str(_field(section, name).metadata["help"])


def default_value(section: str, name: str) -> Any:
    """Return the default of one setting."""
    return _field(section, name).default


def choices(section: str, name: str) -> tuple[str, ...]:
    """Return the values that a setting may take; empty where it is not a choice."""
    hint = typing.get_type_hints(type(getattr(Config(), section)))[name]
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _field(section: str, name: str) -> dataclasses.Field[Any]:
    return next(f for f in dataclasses.fields(getattr(Config(), section)) if f.name == name)
