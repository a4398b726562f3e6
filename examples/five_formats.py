"""The same CAMs in all five stored formats, refined by the installed command, and scored.

    python examples/five_formats.py DATA CUES -o OUT

DATA holds `cams/<id>.npz` (`keys` int [K] 0-based, `cam` K×H×W in [0, 1]) and
`SegmentationClass/<id>.png`; CUES holds `<id>.png` cues. Prints a table with the baseline over
thresholds 0.05 … 0.60, the best of them, and the refined labels of every format.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from c2am_plugin import ImageCams, evaluate_cams, evaluate_labels, get_adapter

FORMATS = ("advcam", "psa", "puzzlecam", "sc_cam", "seam")
THRESHOLDS = np.round(np.arange(0.05, 0.601, 0.05), 2)


def write_formats(data: Path, out: Path) -> list[str]:
    """Write `<out>/<format>/<id>.npy` for every format; returns the image ids."""
    files = sorted((data / "cams").glob("*.npz"))
    for name in FORMATS:
        (out / name).mkdir(parents=True, exist_ok=True)
    for path in files:
        with np.load(path) as stored:
            cams = ImageCams(path.stem, stored["keys"], stored["cam"].astype(np.float32))
        for name in FORMATS:
            get_adapter(name).dump(cams, out / name / f"{path.stem}.npy")
    return [path.stem for path in files]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("cues", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    truth = args.data / "SegmentationClass"

    ids = write_formats(args.data, args.out / "cams")
    command = Path(sys.executable).with_name("c2am-refine")
    print("| format | t | CAM, best t | CAM at t | CAM + cues |\n|---|---|---|---|---|")
    for name in FORMATS:
        cams, refined, labels = (args.out / part / name for part in ("cams", "refined", "labels"))
        options = ["-o", str(refined), "--labels", str(labels), "--method", name, "--overwrite"]
        subprocess.run(
            [str(command), str(cams), str(args.cues), *options], check=True, stdout=sys.stderr
        )
        sweep = evaluate_cams(cams, truth, method=name, thresholds=THRESHOLDS, progress=False)
        best = max(range(len(sweep)), key=lambda index: sweep[index].miou)
        t = get_adapter(name).background_score
        (at_t,) = evaluate_cams(cams, truth, method=name, thresholds=[t], progress=False)
        after = evaluate_labels(labels, truth, ids=ids, progress=False)
        print(
            f"| {name} | {t:g} | {sweep[best].miou:.1%} at {THRESHOLDS[best]:g} "
            f"| {at_t.miou:.1%} | {after.miou:.1%} |"
        )


if __name__ == "__main__":
    main()
