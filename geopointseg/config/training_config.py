"""Settings of the training: network, losses, optimizer, selection of the model, and pretraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from geopointseg.setting import setting
from geopointseg.summary import described


@described
@dataclass(frozen=True)
class ModelConfig:
    """The network: architecture, encoder and starting weights."""

    architecture: str = setting(
        "auto",
        "Segmentation architecture: any of segmentation-models-pytorch, pyramid or fcn. 'auto' is a pyramid on a frozen encoder with "
        "ImageNet weights for imagery with colours, colour infrared or a single band and pixels below 4 m, and a small unet without pretrained weights for other imagery "
        "and where any other setting of the network is named.",
    )
    encoder: str = setting(
        "auto",
        "Encoder of the network; 'tu-NAME' takes any timm encoder. 'auto' follows the architecture.",
    )
    encoder_depth: int = setting(
        3,
        "Number of times the encoder halves the resolution; 5 with 'auto' and ImageNet weights.",
        minimum=3,
        maximum=5,
    )
    decoder_channels: tuple[int, ...] = setting(
        (64, 32, 16),
        "Number of channels of each stage of the decoder, coarse to fine (U-Net and similar architectures).",
        minimum=1,
        maximum=8192,
        shortest=1,
    )
    weights: str = setting(
        "auto",
        "Starting weights: a name, a file, a folder made by 'pretrain', or 'none' for random ones. 'auto' follows the "
        "architecture.",
    )
    freeze_encoder: bool = setting(
        False,
        "Keep the starting weights of the encoder; always with architecture 'auto' and ImageNet weights.",
    )
    norm: Literal["batch", "group"] = setting(
        "batch",
        "Normalization layers of the network; 'group' does not depend on the other chips of the batch; "
        "'auto' with ImageNet weights uses it.",
    )
    upsampling: Literal["auto", "nearest", "bilinear", "transposed", "unpooling"] = setting(
        "auto",
        "How the decoder doubles the resolution. 'auto' is the architecture's own way; with it, fcn keeps the full "
        "resolution. 'unpooling' needs an encoder that pools, such as fcn's or vgg11_bn.",
    )


@described
@dataclass(frozen=True)
class LossConfig:
    """The loss on labelled pixels."""

    gamma: float = setting(
        1.0, "Focusing exponent of the focal loss; 0 is plain cross-entropy.", minimum=0, maximum=10
    )
    class_weight_power: float = setting(
        0.5,
        "Class weights are count ** -power, so 0 gives all points the same weight.",
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

    minutes: float = setting(10.0, "Time limit of the training in minutes.", minimum=0.05)
    steps: int = setting(0, "Number of optimizer steps; 0 trains until the time limit.", minimum=0)
    most_passes: float = setting(
        80.0,
        "Maximum passes over the pixels in a time-limited training, after at least 2000 steps; more passes make the network "
        "learn the errors of the soft labels. 0 sets no maximum.",
        minimum=0,
    )
    encoder_learning_rate: float = setting(1e-3, "Peak learning rate of the encoder.", minimum=0)
    encoder_rate_decay: float = setting(
        1.0,
        "Factor on the learning rate from each stage of the encoder to the stage before it; 1 gives all the same rate.",
        minimum=0,
        maximum=1,
    )
    decoder_learning_rate: float = setting(
        2e-3, "Peak learning rate of decoder and head.", minimum=0
    )
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", minimum=0)
    warmup: float = setting(
        0.05, "Share of the training in which the learning rate rises.", minimum=0, maximum=0.5
    )
    gradient_clip: float = setting(
        1.0, "Largest norm of the gradient; larger ones are scaled down.", minimum=0
    )
    precision: Literal["auto", "float32"] = setting(
        "auto",
        "Precision of the training; auto takes 16-bit floats where the CPU or GPU has instructions for them.",
    )


@described
@dataclass(frozen=True)
class ForestConfig:
    """The random forest on filter features: baseline, teacher and member of the ensemble (in reserve where imagery has only colours)."""

    features: Literal["pixel", "filters", "context"] = setting(
        "context",
        "Features of the forest: single pixels, filters at several scales, or context, which takes what scores best on "
        "held-out blocks, and smooths and balances it.",
    )
    trees: int = setting(
        300, "Number of trees; features 'context' take half as many.", minimum=10, maximum=5000
    )


@described
@dataclass(frozen=True)
class TeachingConfig:
    """Losses on unlabelled and expanded labels; a weight of 0 switches a loss off."""

    distillation_weight: float = setting(
        4.0,
        "Weight of the distillation loss on the probabilities of the fitted members (Hinton et al. 2015).",
        minimum=0,
    )
    sharpening: float = setting(
        1.0,
        "Exponent of the soft labels before distillation; above 1 makes them sharper.",
        minimum=0.1,
        maximum=10,
    )
    confidence_power: float = setting(
        0.0,
        "Exponent of the weight (1 - normalized entropy) of a distilled pixel; 0 gives all the same weight.",
        minimum=0,
    )
    ema_decay: float = setting(
        0.99,
        "Decay of the exponential moving average of the weights, which becomes the model; 0 keeps the last weights.",
        minimum=0,
        maximum=0.99999,
    )
    consistency_weight: float = setting(
        0.0,
        "Weight of the consistency loss with the EMA network (Tarvainen and Valpola 2017).",
        minimum=0,
    )
    consistency: Literal["labels", "squares", "kl"] = setting(
        "labels",
        "Consistency loss: confident pseudo-labels (Sohn et al. 2020), squared differences of probabilities (Tarvainen and "
        "Valpola 2017), or Kullback-Leibler divergence.",
    )
    consistency_start: float = setting(
        0.15, "Share of the training after which the consistency loss begins.", minimum=0, maximum=1
    )
    consistency_ramp: float = setting(
        0.4,
        "Share of the training at which the consistency loss has its full weight.",
        minimum=0,
        maximum=1,
    )
    threshold_start: float = setting(
        0.8,
        "Confidence that a pseudo-label needs at the start; lower for classes with lower confidence of the EMA network.",
        minimum=0,
        maximum=1,
    )
    threshold_end: float = setting(
        0.95, "Confidence that a pseudo-label needs at the end.", minimum=0, maximum=1
    )
    cutmix: float = setting(
        0.5,
        "Share of unlabelled chips that CutMix pastes a rectangle of another chip into (Yun et al. 2019).",
        minimum=0,
        maximum=1,
    )
    expansion: Literal["none", "superpixels", "region"] = setting(
        "none",
        "Expand points to their SLIC superpixel, or to the region of similar pixels around them.",
    )
    expansion_weight: float = setting(0.4, "Weight of an expanded label.", minimum=0, maximum=1)
    expansion_until: float = setting(
        0.7,
        "Share of the training after which expanded labels have weight 0.",
        minimum=0,
        maximum=1,
    )
    expansion_px: int = setting(
        7, "Side of a superpixel, or largest radius of a region, in pixels.", minimum=2, maximum=200
    )
    dice_weight: float = setting(0.0, "Weight of the soft Dice loss on expanded labels.", minimum=0)
    lovasz_weight: float = setting(
        0.0, "Weight of the Lovasz-softmax loss on expanded labels (Berman et al. 2018).", minimum=0
    )
    affinity_weight: float = setting(
        0.0,
        "Weight of the gated CRF loss, on neighbours of similar values and different class (Obukhov et al. 2019).",
        minimum=0,
    )
    entropy_weight: float = setting(
        0.0,
        "Weight of the entropy loss on unlabelled pixels (Grandvalet and Bengio 2004).",
        minimum=0,
    )
    self_training: bool = setting(
        False,
        "Distill the mean of the fitted members and the EMA network once the held-out points are used for training.",
    )


@described
@dataclass(frozen=True)
class SelectionConfig:
    """How labelled pixels are held out, and how they decide the weights of the members."""

    held_out: float = setting(
        0.2,
        "Share of the labelled pixels held out, by spatial blocks, to set the weights of the members.",
        minimum=0,
        maximum=0.5,
    )
    reveal_at: float = setting(
        0.7,
        "Share of the training after which the network also trains on the held-out points.",
        minimum=0.2,
        maximum=1,
    )
    checks: int = setting(
        5,
        "Number of times that the held-out points are scored before that.",
        minimum=1,
        maximum=100,
    )
    patience: int = setting(
        100,
        "Checks without improvement after which the last part of the training begins; never, if not less than 'checks'.",
        minimum=1,
        maximum=100,
    )
    least_steps: int = setting(60, "Fewest steps after which 'auto' keeps a network.", minimum=0)
    forest_below: int = setting(
        100,
        "Below this number of labelled pixels, 'auto' trains no network, unless its encoder is frozen.",
        minimum=0,
    )


@described
@dataclass(frozen=True)
class PretrainingConfig:
    """Self-supervised pretraining on unlabelled rasters."""

    mask_share: float = setting(
        0.6, "Share of a chip that is masked (He et al. 2022).", minimum=0, maximum=0.95
    )
    mask_px: int = setting(8, "Side of the masked squares, in pixels.", minimum=1, maximum=128)
    noise: float = setting(
        0.25, "Standard deviation of the noise to be removed.", minimum=0, maximum=2
    )
