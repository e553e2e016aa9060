"""Settings parsed once at the edge; unknown keys and values out of range are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from napari_semimoe.core.closed_settings import Settings
from napari_semimoe.core.encoders import EncoderShape, normalisation
from napari_semimoe.core.measures import Measure
from napari_semimoe.core.values import USUAL_CLASSES

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
#: Mean optical density of red, green and blue over the tissue of a tile.
Colour = tuple[float, float, float]

#: Mean and standard deviation of the GlaS training images in [0, 1], measured
#: (the published constants overstate the deviation by two to three times).
GLAS_MEAN = (0.787, 0.511, 0.785)
GLAS_STD = (0.168, 0.249, 0.132)

#: A gland cut through its end is larger; a nucleus is smaller.
MIN_OBJECT_UM2 = 400.0
#: Most of what a network marks with less of its tile's mean confidence are specks in stroma.
MIN_CONFIDENCE = 0.5


class ModelSettings(Settings):
    """Everything that decides the network's shape and the scale it works at.

    ``paper`` is three U-Nets without shared weights (docs/method.md sections 1-2); ``compact`` is
    one shared encoder with a light decoder per expert; ``pretrained`` has another encoder instead.
    """

    architecture: Literal["compact", "paper", "pretrained"] = Field(
        "compact",
        description="Network: 'compact' for any computer, 'paper' for a large GPU, 'pretrained' "
        "around an encoder from a file",
    )
    encoder: EncoderShape | None = Field(
        None,
        discriminator="family",
        description="The pretrained encoder; None before its file was read",
    )
    train_encoder: bool = Field(
        False, description="The pretrained encoder learns too, otherwise it stays as it was"
    )
    width: int = Field(24, ge=4, le=128, description="Channels of the first encoder level")
    classes: tuple[str, ...] = Field(
        USUAL_CLASSES, min_length=2, description="Names of the classes, background first"
    )
    experts: tuple[str, ...] = Field(
        ("segmentation", "distance", "boundary"),
        description="Tasks that have an expert; segmentation is required",
    )
    um_per_px: float = Field(
        1.25, gt=0, le=100, description="Working resolution: tiles are resampled to this scale"
    )
    gate_attention: Literal["scaled", "released"] = Field(
        "scaled",
        description="'released' divides hidden activations by their number (gates hardly move); "
        "'scaled' undoes that",
    )
    mean: tuple[float, float, float] | None = Field(
        GLAS_MEAN, description="Mean of an image's channels; None before the encoder's file is read"
    )
    std: tuple[float, float, float] | None = Field(
        GLAS_STD, description="Their standard deviation; None before the encoder's file is read"
    )
    colours: tuple[Colour, ...] = Field(
        (),
        description="Colours of tissue that the network learned from; a tile that is unlike all "
        "of them is seen in the nearest. A round that begins a network fills them in",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "segmentation" not in self.experts:
            raise ValueError("experts must contain 'segmentation', which makes the prediction")
        if len(set(self.experts)) != len(self.experts):
            raise ValueError("each expert may be named once")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError("std must be positive")
        if any(min(colour) <= 0 for colour in self.colours):
            raise ValueError("colours must be positive")
        if None in (self.mean, self.std) and not self.awaits_encoder:
            raise ValueError("mean and std may be left open only for an encoder's file to tell")
        if self.architecture != "pretrained" and (self.encoder or self.train_encoder):
            raise ValueError("encoder and train_encoder need the architecture 'pretrained'")
        return self

    @property
    def awaits_encoder(self) -> bool:
        """Whether the encoder's file decides what the network looks like, and was not read yet."""
        return self.architecture == "pretrained" and self.encoder is None

    def learns_on(self, base: object | None) -> bool:
        """Whether a round from ``base`` begins with all of a trained network, not its encoder."""
        return base is not None and not self.awaits_encoder

    @property
    def n_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.classes)

    @classmethod
    def paper(cls, **values: Any) -> ModelSettings:
        """Return the published network: width 64, the released gate, 103.67 M parameters."""
        return cls.parse(
            {"architecture": "paper", "width": 64, "gate_attention": "released"} | values
        )

    @classmethod
    def pretrained(cls, **values: Any) -> ModelSettings:
        """Return a network around an encoder, with images normalised as that is used to."""
        return cls.parse({"architecture": "pretrained", "mean": None, "std": None} | values)

    def around(self, encoder: EncoderShape) -> Self:
        """Return the settings of the network around this encoder."""
        mean, std = normalisation(encoder)
        return self.changed(encoder=encoder, mean=self.mean or mean, std=self.std or std)


class PredictSettings(Settings):
    """How a tile is predicted and turned into instances."""

    device: DeviceName = Field("auto", description="Where to compute")
    threshold: float = Field(0.5, gt=0, lt=1, description="Foreground probability of an object")
    flips: bool = Field(
        False, description="Average over eight flips, turns and zooms, not two (3 x slower)"
    )
    adapt: bool = Field(
        True,
        description="Fit the network to the stain of each tile, and see a tile of another stain "
        "in colours that the network knows",
    )
    window_px: int = Field(
        512, ge=64, multiple_of=16, description="Window at working resolution for large tiles"
    )
    overlap: float = Field(0.25, ge=0, lt=0.9, description="Overlap of neighbouring windows")
    min_object_um2: float = Field(
        MIN_OBJECT_UM2,
        ge=0,
        description="Objects and holes smaller than this are removed (square microns)",
    )
    min_confidence: float = Field(
        MIN_CONFIDENCE,
        ge=0,
        lt=1,
        description="Objects with a smaller share of their tile's confidence (mean foreground "
        "probability above the threshold) are removed; 0 keeps all",
    )
    split_touching: bool = Field(
        True,
        description="Split touching objects with the distance and boundary experts, and by class",
    )


class AugmentSettings(Settings):
    """Random changes of a training crop; every range lies around 'no change'."""

    flip: bool = Field(True, description="Random flips")
    rotate: Literal["none", "quarter", "any"] = Field("any", description="Random rotation")
    scale: float = Field(0.4, ge=0, lt=1, description="Random zoom, from 1 - x to 1 + x")
    stain: float = Field(0.25, ge=0, le=1, description="Random stain strength in optical density")
    brightness: float = Field(0.15, ge=0, le=1, description="Random brightness and contrast")
    blur: float = Field(0.2, ge=0, le=1, description="Chance of a slight blur")


class RoundSettings(Settings):
    """Everything one round of training depends on; stored with the round.

    The defaults are the ``fine_tune`` protocol; `RoundSettings.paper` gives the released one.
    """

    seed: int = Field(0, ge=0, lt=2**31, description="Same seed, same machine: same numbers")
    device: DeviceName = Field("auto", description="Where to train")
    threads: int = Field(
        0, ge=0, le=512, description="Processor threads; 0 leaves one core to the window"
    )
    processes: int = Field(
        1, ge=1, le=64, description="Processes that share each step, each on its own graphics card"
    )
    budget_minutes: float = Field(4.0, gt=0, le=7 * 24 * 60, description="Time for the round")
    max_steps: int = Field(0, ge=0, description="Stop after this many steps; 0 for time only")
    labelled_batch: int = Field(6, ge=1, le=256, description="Labelled crops in a step")
    unlabelled_batch: int = Field(4, ge=0, le=256, description="Unlabelled crops in a step")
    crop_px: int = Field(
        256, ge=32, le=2048, multiple_of=16, description="Side of a training crop (working px)"
    )
    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Highest learning rate; 0 chooses 0.001 from nothing or from an encoder, and "
        "0.0003 where a trained network learns on, so that it forgets less",
    )
    weight_decay: float = Field(1e-4, ge=0, le=1)
    schedule: Literal["cosine", "step"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1, description="Share of the round spent warming up")
    unlabelled_weight: float = Field(
        0.5, ge=0, le=10, description="Weight of what unlabelled tiles teach"
    )
    pseudo_labels: Literal["stage", "step"] = Field(
        "stage",
        description="'stage': made once per stage, averaged over flips, turns and zooms; "
        "'step': made on the fly at every step (released method)",
    )
    stages: int = Field(1, ge=1, le=20, description="Times the pseudo-labels are made anew")
    labelled_only: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Share of the round before unlabelled tiles join in, so that their "
        "pseudo-labels come from a network that knows the newest masks",
    )
    pseudo_views: int = Field(
        8, ge=1, le=8, description="Flips, turns and zooms that a pseudo-label is averaged over"
    )
    adapt: bool = Field(
        True,
        description="Fit the network to the stain of each tile that it makes a pseudo-label of, "
        "or is scored on, and see tiles of other stains in colours that it knows",
    )
    pseudo_tiles: int = Field(
        0, ge=0, description="Use at most this many unlabelled tiles; 0 for all"
    )
    teach_gates: bool = Field(
        True, description="Pseudo-labels teach the gated heads too, not only the experts"
    )
    cross_entropy: float = Field(
        1.0, ge=0, le=10, description="Weight of a cross-entropy added to the segmentation's Dice"
    )
    object_weight: float = Field(
        1.0,
        gt=0,
        le=10,
        description="Weight of an object's pixel in that cross-entropy, the background's being 1: "
        "with more, less of an object is missed and more beside it is marked",
    )
    glass: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Chance that a part of a labelled crop becomes empty glass, which is "
        "background; 0 where what is empty may be an object, as fat is",
    )
    confidence: bool = Field(
        True, description="Weight pseudo-labels by the square of the network's confidence"
    )
    agreement: float = Field(
        0.0,
        ge=0,
        le=0.95,
        description="Unlabelled pixels teach only where the experts agree at least so much; "
        "0: all of them, 0.9: only where they hardly contradict each other",
    )
    ema_decay: float = Field(
        0.99, ge=0, lt=1, description="Moving average of the weights that is kept; 0 for none"
    )
    mixed_precision: bool = Field(True, description="bfloat16 where the processor gains from it")
    weak: AugmentSettings = AugmentSettings()
    strong: AugmentSettings = AugmentSettings()
    min_object_um2: float = Field(
        MIN_OBJECT_UM2,
        ge=0,
        description="Smallest object in scores and in the experts' agreement (square microns)",
    )
    min_confidence: float = Field(
        MIN_CONFIDENCE,
        ge=0,
        lt=1,
        description="Objects with a smaller share of their tile's confidence do not count in "
        "scores; 0: all count",
    )
    measure: Measure = Field(
        "dice", description="Score on the validation tiles by which the new model must win"
    )
    validate_every: int = Field(
        100,
        ge=1,
        description="Steps between looks at the validation tiles; more in a timed round where a "
        "look takes long",
    )
    joint_forward: bool = Field(True, description="One pass over labelled and unlabelled crops")

    @model_validator(mode="before")
    @classmethod
    def _without_cutmix(cls, values: Any) -> Any:
        """Read the rounds of early versions, which stored that they did not use it."""
        if isinstance(values, dict) and values.get("cutmix") == 0:
            return {name: value for name, value in values.items() if name != "cutmix"}
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.agreement and self.pseudo_labels != "stage":
            raise ValueError(
                "agreement needs pseudo_labels 'stage': those of every step do not measure it"
            )
        return self

    def with_learning_rate(self, *, learns_on: bool) -> Self:
        """Return the settings with a learning rate chosen, if none is given.

        Parameters
        ----------
        learns_on
            Whether the network is trained already.
        """
        if self.learning_rate:
            return self
        return self.changed(learning_rate=3e-4 if learns_on else 1e-3)

    @classmethod
    def fine_tune(cls, **values: Any) -> RoundSettings:
        """Warm start, AdamW, warm-up and cosine, minutes as the budget (the default)."""
        return cls.parse(values)

    @classmethod
    def paper(cls, **values: Any) -> RoundSettings:
        """Released protocol: SGD 0.5, step decay, pseudo-labels per step (docs/method.md 5)."""
        flips_and_turns = {
            "rotate": "quarter",
            "scale": 0.0,
            "stain": 0.0,
            "brightness": 0.0,
            "blur": 0.0,
        }
        released = {
            "labelled_batch": 2,
            "unlabelled_batch": 2,
            "optimiser": "sgd",
            "learning_rate": 0.5,
            "weight_decay": 5e-5,
            "schedule": "step",
            "warmup": 0.1,
            "pseudo_labels": "step",
            "labelled_only": 0.0,
            "stages": 1,
            "adapt": False,
            "confidence": False,
            "teach_gates": False,
            "cross_entropy": 0.0,
            "glass": 0.0,
            "unlabelled_weight": 0.5,
            "ema_decay": 0.0,
            "mixed_precision": False,
            "joint_forward": False,
            "weak": flips_and_turns,
            "strong": flips_and_turns,
            "budget_minutes": 24 * 60,
        }
        return cls.parse(released | values)


class ClusterSettings(Settings):
    """Another machine that predicts and trains; an empty ``scheduler`` means this computer.

    Encryption with certificates on both sides is required: whoever can talk to a scheduler can
    run programs on its machines.
    """

    scheduler: str = Field("", description="Address of the scheduler, such as tls://gpu:8786")
    tls_ca: str = Field("", description="File with the authority that signed all certificates")
    tls_cert: str = Field("", description="File with this computer's certificate")
    tls_key: str = Field("", description="File with the private key of that certificate")

    @field_validator("scheduler")
    @classmethod
    def _check_address(cls, value: str) -> str:
        if value and not value.startswith("tls://"):
            raise ValueError(
                "must start with tls://, because without certificates anyone could run programs "
                "there"
            )
        return value

    @field_validator("tls_ca", "tls_cert", "tls_key")
    @classmethod
    def _check_file(cls, value: str, others: ValidationInfo) -> str:
        if others.data.get("scheduler") and not Path(value).is_file():
            raise ValueError("must name a file that exists when a scheduler is set")
        return value
