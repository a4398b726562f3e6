"""Build the sdist, from it the wheel, install that without torch in an empty place, refine there.

    python tests/release.py [PYTHON …]

Without a PYTHON it is done with this one. Wants `build` (in CI's environment) and a package index.
torch, torchvision and numba are left out: refining must do without them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("torch", "torchvision", "numba")
INPUTS = """
import numpy as np
from PIL import Image
cam = np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
np.save("cams/a.npy", {7: cam})
Image.fromarray(np.uint8(255 * (cam > 0.5))).save("cues/a.png")
"""
CHECK = """
import numpy as np
from PIL import Image
refined = np.load("refined/a.npy", allow_pickle=True).item()
label = np.asarray(Image.open("labels/a.png"))
assert list(refined) == [7] and refined[7].dtype == np.float32, refined
assert set(np.unique(label)) == {0, 8} and abs((label == 8).mean() - 0.5) < 0.02, label
"""


def main(pythons: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        call(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, quiet=True)
        (wheel,) = (folder / "dist").glob("*.whl")
        (sdist,) = (folder / "dist").glob("*.tar.gz")
        print(f"{wheel.name} {wheel.stat().st_size} bytes, {sdist.name} {sdist.stat().st_size}")
        for index, python in enumerate(pythons):
            installed_refines(python, wheel, folder / str(index))


def installed_refines(python: str, wheel: Path, place: Path) -> None:
    """An empty environment of that Python; its c2am-refine on one image."""
    call(python, "-m", "venv", place / "env")
    bin_ = place / "env" / "bin"
    pip = (bin_ / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    call(*pip, "--only-binary", ":all:", *needs(wheel))
    call(*pip, "--no-deps", wheel)
    for name in ("cams", "cues"):
        (place / name).mkdir()
    call(bin_ / "python", "-c", INPUTS, cwd=place)
    call(bin_ / "c2am-refine", "--version", cwd=place)
    words = ("cams", "cues", "-o", "refined", "--labels", "labels", "--method", "psa")
    call(bin_ / "c2am-refine", *words, "--calibrate", "off", cwd=place)
    call(bin_ / "python", "-c", CHECK, cwd=place)
    for command in sorted(bin_.glob("c2am-*")):
        call(command, "--help", quiet=True)
    call(bin_ / "python", "-VV")


def needs(wheel: Path) -> list[str]:
    """What the wheel requires for refining."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(path).decode()
    required = re.findall(r"^Requires-Dist: (.+)$", text, re.MULTILINE)
    return [
        each
        for each in required
        if "extra ==" not in each and re.split(r"[^\w-]", each)[0] not in LEFT_OUT
    ]


def call(*words: str | Path, quiet: bool = False, **options: Path) -> None:
    subprocess.run(
        [str(word) for word in words],
        check=True,
        stdout=subprocess.DEVNULL if quiet else None,
        **options,
    )


if __name__ == "__main__":
    main(sys.argv[1:] or [sys.executable])
