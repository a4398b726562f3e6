"""Read files of tensors: our checkpoints, the authors', and published initial weights.

Knows files of tensors and the names in them. Knows nothing of training or images. Every file is
read with weights_only=True, so that it cannot run code.
"""

from __future__ import annotations

import argparse
import contextlib
import pickle
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models

from ..errors import InputError, MissingDependency, UnsafeFileError
from ..files.folders import first_names
from .backbone import AnyBackbone
from .normalisation import noted_statistics, statistics_of
from .numpy_scalars import NUMBERS
from .timm_backbone import is_timm, parameters_of, pretrained_state, published_tensors

__all__ = [
    "LARGEST_SIDE",
    "WeightsReport",
    "check_finite",
    "check_room",
    "default_weights",
    "initial_weights",
    "made_of",
    "named_tensors",
    "read_torch_file",
    "take_statistics",
]

# The keys under which files store their state dict; DINO's teacher is better than its student.
NESTS = ("state_dict", "teacher", "model", "student", "model_state_dict")
# What torch.load raises for a damaged file.
DAMAGE = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    ImportError,
    struct.error,
    zipfile.BadZipFile,
)
# A file must have at least one byte per this many parameters: without its head VGG is much smaller.
HEAD_SHARE = 20
# The start of the older of torch.save's two layouts.
MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# The largest side of training squares, in pixels: no GPU could fit a batch of this size.
LARGEST_SIDE = 2**13
# Allowed beside tensors and plain values: the command line in DINO's full files, numpy numbers.
HARMLESS = (argparse.Namespace, *NUMBERS)
# A file is refused if less than this share of the backbone's tensors matches.
ENOUGH = 0.9


class OnBackbone(Protocol):
    """A network on a backbone: the backbone's name, and the layers."""

    name: str
    backbone: AnyBackbone


@dataclass(frozen=True)
class WeightsReport:
    """How a file matched a backbone: tensors that matched by name and shape, and the rest."""

    source: str
    matched: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.source}: {self.matched} tensors matched"
        for kind, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            text += f", {len(names)} {kind}" + (f" ({first_names(names, 3)})" if names else "")
        return text


def check_room(path: str | Path, backbone: str, state: Mapping[str, Any]) -> None:
    """Refuse a file that is much smaller than the network it names, before building the network.

    state: the file's tensors by name. Raises InputError.
    """
    if is_timm(backbone):
        parameters = parameters_of(backbone)
    elif backbone in models.list_models(module=models):
        parameters = next(iter(models.get_model_weights(backbone))).meta["num_params"]
    else:
        return  # building the network reports this
    stored = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in state.values()
        if isinstance(tensor, Tensor) and tensor.layout == torch.strided
    }
    if sum(stored.values()) * HEAD_SHARE < parameters:
        raise InputError(
            f"{path}: does not fit {backbone}: its tensors take {sum(stored.values())} bytes, "
            f"but the network has {parameters:,} parameters"
        )


def fill_network(
    path: str | Path, model: nn.Module, state: Mapping[str, Tensor], **how: Any
) -> None:
    """Load tensors with matching names and shapes into a network. Raises InputError if they cannot
    be copied, for instance because of their type."""
    try:
        model.load_state_dict(state, **how)
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: has tensors that cannot be copied ({reason})") from error
    check_finite(path, model)


def check_finite(path: str | Path, model: nn.Module) -> None:
    """Refuse the file of a network that would predict NaN. Raises InputError."""
    if bad := [name for name, value in model.state_dict().items() if not value.isfinite().all()]:
        raise InputError(
            f"{path}: contains NaN or infinite numbers ({first_names(bad, 2)}), so its training "
            "failed; expected finite weights: take another file, or train again"
        )


def check_names(
    path: str | Path, backbone: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    wrong = {k for k in wanted if k not in found or found[k].shape != wanted[k].shape}
    extra = set(found) - set(wanted)
    if wrong or extra:
        raise InputError(
            f"{path}: does not fit C2AM on {backbone}: {len(wrong)} of {len(wanted)} tensors are "
            f"missing or of another shape ({first_names(wrong, 2)}), {len(extra)} are unknown "
            f"({first_names(extra, 2)}); expected a file of c2am-train or of the released code"
        )


def initial_weights(model: OnBackbone, source: str) -> WeightsReport:
    """Load weights into the backbone of `model` and report what matched; its head is unchanged.

    source  "random": leave the random weights; the name of torchvision weights ("IMAGENET1K_V2",
            "DEFAULT", "ResNet50_Weights.IMAGENET1K_V2"), downloaded to torch's cache if necessary;
            "pretrained": timm's for a `timm:` backbone; or a file: a torchvision state dict,
            MoCo v2, DetCo, DINO, SwAV, timm's (also .safetensors), a checkpoint of ours, with any
            prefix before the names
    Raises InputError if there are no such weights, or if less than nine tenths of them match.
    """
    if source == "random":
        return WeightsReport(source, 0, tuple(_wanted(model)), ())
    content = _content(model, source)
    wanted = _wanted(model)
    state = _best_match(wanted, content)
    if is_timm(model.name):
        state = max(state, _from_timm(model.name, wanted, content), key=len)
    if not state:
        raise InputError(
            f"{source}: none of its tensors fits {model.name} "
            f"(found {describe_content(content)}); expected names like {first_names(wanted, 2)}"
        )
    fitting = {k: state[k] for k in wanted if k in state and state[k].shape == wanted[k].shape}
    own = {name for name, _ in model.backbone.named_children()}
    unexpected = sorted(k for k in state if k not in fitting and not k.endswith("_tracked"))
    # A deeper backbone matches a shallower one completely, but its weights are useless there.
    foreign = [k for k in unexpected if k.split(".")[0] in own]
    report = WeightsReport(
        source, len(fitting), tuple(k for k in wanted if k not in fitting), tuple(unexpected)
    )
    if len(fitting) < ENOUGH * len(set(wanted) | set(foreign)):
        raise InputError(
            f"{report}; expected weights of {model.name}: give another file, or the backbone that "
            "these weights belong to"
        )
    fill_network(source, model.backbone, fitting, strict=False)
    return report


def default_weights(backbone: str) -> str:
    """The weights of a backbone where none are named."""
    return "pretrained" if is_timm(backbone) else "IMAGENET1K_V1"


def made_of(model: OnBackbone) -> dict[str, Any]:
    """What a checkpoint notes of a network's backbone, beside its numbers."""
    mean, std = statistics_of(model)  # type: ignore[arg-type]
    return {"backbone": model.name, "mean": list(mean), "std": list(std)}


def take_statistics(path: str | Path, model: OnBackbone, info: Mapping[str, Any]) -> None:
    """Normalise as the checkpoint notes it: another version of timm may have other numbers."""
    try:
        model.backbone.statistics = noted_statistics(info)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _content(model: OnBackbone, source: str) -> Any:
    """The tensors that `source` names."""
    path = Path(source)
    if path.is_file():
        return _read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    if not is_timm(model.name):
        return read_torch_file(_torchvision_file(model.name, source))
    if source != default_weights(model.name):
        raise InputError(
            f"{source}: is neither a file nor weights of {model.name}; expected a file, "
            "'pretrained' or 'random' (the name of timm weights belongs to the backbone: "
            "timm:resnet50.a1_in1k)"
        )
    return pretrained_state(model.name)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingDependency(
            f"{path}: needs the package safetensors, which is not installed; run pip install "
            "safetensors, or download the file of torch.save (pytorch_model.bin)"
        ) from error
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except Exception as error:  # its errors are of a private module
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: cannot be read as a safetensors file ({reason})") from error
    return tensors


def _from_timm(name: str, wanted: Mapping[str, Tensor], content: Any) -> dict[str, Tensor]:
    """The file's tensors of a timm model by the backbone's own names; empty where none fits."""
    names = published_tensors(name, list(wanted))
    found = _best_match({names[own]: wanted[own] for own in names}, content)
    own_names = {published: own for own, published in names.items()}
    return {own_names.get(key, key): value for key, value in found.items()}


def _wanted(model: OnBackbone) -> dict[str, Tensor]:
    """The backbone's tensors that a file must contain (old files have no BatchNorm counters)."""
    state = model.backbone.state_dict()
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _best_match(wanted: Mapping[str, Tensor], content: Any) -> dict[str, Tensor]:
    """The file's tensors under the key and prefix that match most of the wanted ones."""
    best: dict[str, Tensor] = {}
    best_count = 0
    for state in named_tensors(content):
        for prefix in _prefixes(wanted, state):
            part = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            count = sum(k in part and part[k].shape == v.shape for k, v in wanted.items())
            if count > best_count:
                best, best_count = part, count
    return best


def named_tensors(content: Any, depth: int = 4) -> Iterator[dict[str, Tensor]]:
    """The state dicts of a file, the innermost first, each {name: tensor}."""
    if not isinstance(content, Mapping) or depth == 0:  # a dict may contain itself
        return
    for nest in NESTS:
        yield from named_tensors(content.get(nest), depth - 1)
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        yield tensors


def _prefixes(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """The prefixes of wanted names in the file; MoCo's query encoder before its key encoder."""
    first = next(iter(wanted))
    found = {name[: -len(first)] for name in state if name == first or name.endswith("." + first)}
    return sorted(found, key=lambda prefix: ("encoder_k" in prefix, len(prefix), prefix))


def _torchvision_file(backbone: str, name: str) -> Path:
    """The file of torchvision weights in torch's cache, downloaded if necessary."""
    weights = models.get_model_weights(backbone)
    short = name.split(".")[-1]
    if short not in weights.__members__ or name not in (short, f"{weights.__name__}.{short}"):
        raise InputError(
            f"{name}: is neither a file nor torchvision weights of {backbone}; expected a file, "
            f"'random' or {', '.join(weights.__members__) or 'nothing else: torchvision has none'}"
        )
    url = weights[short].url
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rsplit("-", 1)[-1]
        try:
            torch.hub.download_url_to_file(url, str(path), digest)
        except (URLError, OSError, RuntimeError) as error:
            raise InputError(
                f"{name}: {url} cannot be downloaded ({error}); download it on another machine "
                f"and put it at {path}, or pass the file itself as `weights`; "
                '`weights="random"` trains from scratch'
            ) from error
    return path


def read_torch_file(path: str | Path) -> Any:
    """Load a file written by torch.save, on the CPU. Raises InputError and UnsafeFileError."""
    safe = getattr(torch.serialization, "safe_globals", None)
    try:
        _check_layout(Path(path))
        with safe(HARMLESS) if safe else contextlib.nullcontext():
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        code = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", str(error))
        if code is None:
            raise InputError(_no_torch_file(path)) from error
        raise UnsafeFileError(
            f"{path}: contains {first_names([code[1]])}, which is not a tensor, and was not "
            "loaded; if you trust it, extract its tensors: x = torch.load(FILE, 'cpu', "
            "weights_only=False); torch.save(getattr(x, 'state_dict', lambda: x['state_dict'])(), "
            "NEW)"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except DAMAGE as error:
        raise InputError(_no_torch_file(path)) from error


def _check_layout(path: Path) -> None:
    """Pass only the layouts of torch.save to torch.load. Raises what `read_torch_file` catches.

    Older layouts are refused because torch before 2.6 ran code from them despite weights_only.
    TorchScript is refused because it is a program, and compressed archives because a small one can
    expand without limit; torch.save does not compress.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head.startswith(b"PK\x03\x04"):
        if not head.startswith(b"\x80") or MAGIC not in head:
            raise ValueError("not a layout of torch.save")
        return
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.filename.endswith("constants.pkl") for part in parts):
        raise ValueError("TorchScript")
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError("packed")


def _no_torch_file(path: str | Path) -> str:
    return (
        f"{path}: was not written by torch.save, or is truncated; expected a file with a state dict"
    )


def describe_content(content: Any) -> str:
    if isinstance(content, Mapping):
        names = (name if isinstance(name, str) else type(name).__name__ for name in content)
        return f"a dict of {first_names(names, 3)}" if content else "an empty dict"
    return f"a {type(content).__name__}"
