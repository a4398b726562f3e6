"""The report of a c2am-boxes run, for the user and for the file beside the boxes."""

from __future__ import annotations

from dataclasses import dataclass, field

from .scores import Localisation

__all__ = ["BoxReport"]


@dataclass
class BoxReport:
    """The report of a run.

    images        number of images whose map was read; `boxes`: the total of their boxes
    empty         images with nothing above the boundary: they have no box and score as a miss
    unscored      number of images without an object in the ground truth, if one is given
    bad_truths    number of ground truth records left out: without an area, or of an unlisted image
    localisation  the scores, if ground truth is given
    """

    out: str | None
    images: int
    boxes: int
    empty: list[str] = field(default_factory=list)
    unscored: int = 0
    bad_truths: int = 0
    localisation: Localisation | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """The run in one line, and the scores as a table."""
        counts = {
            "without a box": len(self.empty),
            "without ground truth": self.unscored,
            "failed": len(self.failures),
        }
        rest = "".join(f"; {count} {what}" for what, count in counts.items() if count)
        if self.bad_truths:
            rest += (
                f"; {self.bad_truths} ground truth records left out (without an area or of an "
                "unlisted image)"
            )
        line = (
            f"found {self.boxes} boxes in {self.images} images in {self.seconds:.1f} s "
            f"({self.images_per_second:.1f} images/s){rest}"
        )
        return line if self.localisation is None else f"{line}\n{score_table(self.localisation)}"


def score_table(found: Localisation) -> str:
    """The scores in percent, beside those of the centre box."""
    shares = ", ".join(
        f"{100 * share:.1f} at IoU {iou} (threshold {found.thresholds[iou]:.3f})"
        for iou, share in found.shares.items()
    )
    count = len(found.classes)
    rows = [
        ("GT-known, IoU ≥ 0.5", "gt_known", ""),
        ("CorLoc, IoU > 0.5", "corloc", ""),
        (f"CorLoc, mean of {count} classes", "corloc_by_class", ""),
        ("MaxBoxAcc", "max_box_acc", f"threshold {found.thresholds['0.5 largest']:.3f}"),
        ("MaxBoxAccV2", "max_box_acc_v2", shares),
        ("top-1 localisation", "top1", ""),
        ("top-5 localisation", "top5", ""),
    ]
    title = f"{found.images} images, in percent"
    lines = [f"{title:<30}{'boxes':>8}{'centre box':>12}"]
    for name, key, note in rows:
        own, centre = getattr(found.boxes, key), getattr(found.centre, key)
        if own is not None and not (key == "corloc_by_class" and count == 1):
            lines.append(f"{name:<30}{100 * own:8.1f}{100 * centre:12.1f}   {note}".rstrip())
    return "\n".join(lines)
