"""A model of the package timm as a backbone: its feature maps at the wanted stride.

Knows timm's names and layers. Knows nothing of losses or files. timm is an extra, so it is imported
only where a backbone is called `timm:NAME`.
"""

from __future__ import annotations

import difflib
import itertools
import logging
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError, MissingDependency
from .normalisation import Statistics

__all__ = ["PREFIX", "TimmBackbone", "is_timm", "published_tensors"]

PREFIX = "timm:"
# What timm's models are asked for, the most useful first: a stride of their own; position
# embeddings or windows for images of any size.
WISHES: tuple[tuple[str, Any], ...] = (
    ("dynamic_img_size", True),
    ("strict_img_size", False),
)
PROBE = (125, 91)
# What timm's models raise for an argument or an image size that they do not support.
REFUSALS = (
    RuntimeError,
    TypeError,
    ValueError,
    AssertionError,
    NotImplementedError,
    AttributeError,
    LookupError,
)


def is_timm(name: str) -> bool:
    return name.startswith(PREFIX)


class TimmBackbone(nn.Module):
    """The feature maps of a timm model, as `Backbone` gives those of a torchvision one.

    output_stride  pixels of the image per position of the last map. Where timm can, it removes
                   strides and dilates the layers behind them; for other models (ViTs) the images
                   are enlarged, or reduced, by the quotient of the strides. None: the model's own
    Token models give their tokens as maps. Where a model needs it, or leaves pixels at the edges
    out, images are resized to multiples of its stride. `channels`
    and `n_features` as in `Backbone`; `statistics` are those of the model's pretrained
    configuration. Raises InputError for a model that is unknown or has no maps,
    MissingDependency without timm.
    """

    def __init__(self, name: str, output_stride: int | None) -> None:
        super().__init__()
        self.net, self.grid = _with_maps(name, output_stride)
        info: Any = self.net.feature_info
        strides, channels = list(info.reduction()), list(info.channels())
        own = int(strides[-1])
        self.patch, self.wanted = own, output_stride or own
        # A feature map at the image's own size is not a stage of its own.
        self.first = next(i for i, stride in enumerate(strides) if stride > 1)
        self.channels = tuple(channels[self.first :])
        self.n_features = sum(self.channels[-2:])
        config: Any = self.net.pretrained_cfg
        self.statistics = Statistics(tuple(config["mean"]), tuple(config["std"]))

    def stages(self, images: Tensor) -> list[Tensor]:
        """N×3×H×W → the output of every stage, N×C×h×w, `channels` of them, the finest first."""
        maps = self.net(self._fitting(images))[self.first :]
        return [_channels_first(x, c) for x, c in zip(maps, self.channels, strict=True)]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """N×3×H×W → the outputs of the stage before the last, and of the last."""
        before, last = self.stages(images)[-2:]
        return before, last

    def _fitting(self, images: Tensor) -> Tensor:
        """The images at a size that gives one position for each `wanted` pixels."""
        if not self.grid and self.patch == self.wanted:
            return images
        height, width = (math.ceil(side / self.wanted) * self.patch for side in images.shape[2:])
        if (height, width) == tuple(images.shape[2:]):
            return images
        return F.interpolate(images, (height, width), mode="bilinear", align_corners=False)


def published_tensors(name: str, own: list[str]) -> dict[str, str]:
    """{tensor of a `TimmBackbone`: its name in timm's files}, of those that the files contain.

    timm's feature networks join the names of nested layers: `stages.0` becomes `stages_0`.
    """
    plain = {_joined(key): key for key in _on_meta(name).state_dict()}
    joined = {key: _joined(key.removeprefix("net.").removeprefix("model.")) for key in own}
    return {key: plain[form] for key, form in joined.items() if form in plain}


def parameters_of(name: str) -> int:
    """The parameters of the whole model, counted without its memory."""
    return sum(parameter.numel() for parameter in _on_meta(name).parameters())


def pretrained_state(name: str) -> dict[str, Tensor]:
    """The tensors of timm's pretrained weights of a model, by their names there.

    Raises InputError where there are none, or where they cannot be downloaded.
    """
    timm, model = _timm(), _known(name)
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise InputError(
            f"backbone {name!r}: timm has no pretrained weights of it; give a file to `weights`, "
            'or `weights="random"`'
        )
    try:
        state: dict[str, Tensor] = timm.create_model(model, pretrained=True).state_dict()
    except Exception as error:  # each of timm's sources has errors of its own
        reason = (" ".join(str(error).split()) or type(error).__name__)[:160]
        where = (
            f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors"
            if config.hf_hub_id
            else config.url
        )
        raise InputError(
            f"backbone {name!r}: its pretrained weights cannot be downloaded ({reason}); download "
            f"{where} on another machine and pass the file as `weights`; "
            '`weights="random"` trains from scratch'
        ) from error
    return state


def without_norms_lost(model: nn.Module) -> nn.Module:
    """SyncBatchNorm in place of BatchNorm: torch's own conversion loses timm's activations."""
    converted: nn.Module = _timm().layers.convert_sync_batchnorm(model)
    return converted


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingDependency(
            f"`backbone` {PREFIX}NAME needs the package timm, which cannot be imported ({error}); "
            "run pip install timm, or take a torchvision backbone, for instance resnet50"
        ) from error
    # It reports, for instance, that no weights were found for a model of random ones.
    logging.getLogger("timm").setLevel(logging.ERROR)
    return timm


def _known(name: str) -> str:
    """timm's name of a model, with its tag where one is given. Raises InputError."""
    timm, model = _timm(), name.removeprefix(PREFIX)
    base, _, tag = model.partition(".")
    models = timm.list_models()
    if base not in models:
        longer = [each for each in models if base and each.startswith(base)]
        near = longer[:3] or difflib.get_close_matches(base, models, 3, 0.5)
        hint = f"near are {', '.join(PREFIX + each for each in near)}" if near else ""
        raise InputError(
            f"backbone {name!r} is not a model of timm {timm.__version__}; "
            f"{hint or 'timm.list_models() lists all'}"
        )
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in tags:
        raise InputError(
            f"backbone {name!r}: timm has no weights {tag!r} of {base}; "
            f"expected {', '.join(tags) or 'no tag'}"
        )
    return model


def _on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = _timm().create_model(_known(name))
    return network


def _with_maps(name: str, output_stride: int | None) -> tuple[nn.Module, bool]:
    """The model's feature network in train mode, and whether it takes multiples of its patch."""
    model, reason = _known(name), ""
    for wishes, grid in itertools.product(_wishes(output_stride), (False, True)):
        try:
            net = _timm().create_model(model, features_only=True, **wishes)
            _probe(net, grid)
        except REFUSALS as error:
            reason = (" ".join(str(error).split()) or type(error).__name__)[:120]
        else:
            return net.train(), grid
    raise InputError(
        f"backbone {name!r} has no feature maps for images of any size ({reason}); take a "
        "convolutional one or a ViT, for instance timm:resnet50 or timm:vit_small_patch16_224"
    )


def _wishes(output_stride: int | None) -> Iterator[dict[str, Any]]:
    if output_stride is not None:
        yield {"output_stride": output_stride}
    for wish in WISHES:
        yield dict([wish])
    yield {}


@torch.no_grad()
def _probe(net: Any, grid: bool) -> None:
    """Raise one of `REFUSALS` where a model does not give maps of an image of another size."""
    channels, strides = net.feature_info.channels(), net.feature_info.reduction()
    patch = int(strides[-1]) if grid else 1
    height, width = (math.ceil(side / patch) * patch for side in PROBE)
    outputs = net.eval()(torch.zeros(1, 3, height, width))
    if len(outputs) < 2 or strides[-1] == 1:
        raise ValueError(f"it has {len(outputs)} feature maps")
    for x, c, stride in zip(outputs, channels, strides, strict=True):
        expected = (math.ceil(height / stride), math.ceil(width / stride))
        if x.ndim != 4 or tuple(_channels_first(x, c).shape[2:]) != expected:
            raise ValueError(f"a map of {height}×{width} pixels is {tuple(x.shape)}")


def _channels_first(x: Tensor, channels: int) -> Tensor:
    """N×h×w×C, as windowed transformers give their maps, → N×C×h×w."""
    if x.shape[1] != channels and x.shape[-1] == channels:
        return x.permute(0, 3, 1, 2)
    return x


def _joined(key: str) -> str:
    return key.replace(".", "_")
