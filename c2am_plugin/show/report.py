"""The page of a refinement and its CSV. Its numbers come from statistics.py and record.py."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files.writing import atomic_path
from ..page.charts import Chart, Series, chart
from ..page.panels import Panel, within
from ..page.render import write_page
from ..refine.background import FoundScore
from ..refine.image import ImageJob
from .gallery import Gallery
from .image import ImageFacts
from .record import Record
from .statistics import ClassFacts, calibrated_chance, class_facts, cue_curve

__all__ = ["OUTPUTS", "PAGE", "Look", "write_page_of"]

PAGE = "report.html"
OUTPUTS = (PAGE, "images.csv")


@dataclass(frozen=True)
class Look:
    """What was found about a refinement of `total` images, of which `facts` counts some.

    names: {0-based class: name}. score: the t that cues and CAMs give.
    """

    record: Record
    job: ImageJob
    total: int
    facts: Mapping[str, ImageFacts]
    names: Mapping[int, str]
    score: FoundScore | None
    folders: Mapping[str, Any]

    @cached_property
    def classes(self) -> list[ClassFacts]:
        return class_facts(list(self.facts.values()), self.names)

    @property
    def pixels(self) -> int:
        return sum(each.pixels for each in self.facts.values()) or 1

    @property
    def changed(self) -> float:
        """Share of all pixels with another label."""
        return sum(each.changed for each in self.facts.values()) / self.pixels

    @property
    def foreground(self) -> tuple[float, float]:
        """Share of all pixels with the label of a class, before and after."""
        before = sum(sum(each.before.values()) for each in self.facts.values())
        after = sum(sum(each.after.values()) for each in self.facts.values())
        return before / self.pixels, after / self.pixels

    @property
    def trusted(self) -> float:
        """Share of the images with a cue and a class in which the cue has weight; NaN of none."""
        trust = [each.trust for each in self.facts.values() if each.trust is not None]
        return sum(each > 0 for each in trust) / len(trust) if trust else float("nan")

    @property
    def warnings(self) -> list[str]:
        """Of the run, in words; and what its report doubts."""
        report = self.record.report
        if report is None:
            return [
                "the run has not ended, or its shards are not merged (c2am-merge), so its own "
                "warnings are not known"
            ]
        found = [*report.warnings, *report.doubt().strip().splitlines()]
        if report.failures:
            found.append(f"{len(report.failures)} images failed: see the report of the run")
        return found

    @property
    def score_origin(self) -> str:
        """Where the background score of the run comes from, in a sentence."""
        t, adapter = self.job.background_score, self.job.adapter
        if getattr(adapter, "stores_background", False):
            return "The files contain the background that the CAMs are compared with."
        own = adapter.background_score
        if own is not None and abs(t - own) < 1e-9:
            return f"t = {t:g} is the constant of {adapter.name}."
        constant = f"{adapter.name} has {own:g}" if own else f"{adapter.name} has no constant"
        if self.score and self.score.background_score == t:
            return f"t = {t:g} was found from the cues and the CAMs; {constant}."
        return f"t = {t:g} was given, or found on other images; {constant}."

    @property
    def score_found(self) -> str:
        """What cues and CAMs say about the background score, in a sentence; otherwise empty."""
        if self.score is None:
            return ""
        if self.score.background_score is None:
            return f"From the cues of {self.score.images} images none can be found."
        return (
            f"Cues and CAMs by themselves agree best at t = {self.score.background_score:g} "
            f"(correlation {self.score.correlation:.2f}, {self.score.images} images)."
        )

    @property
    def curve(self) -> Chart | None:
        """The cue's value against the CAMs' sure pixels; None where there are none."""
        points = cue_curve(list(self.facts.values()))
        if not points:
            return None
        middle = [(each.low + each.high) / 2 for each in points]
        titles = [
            f"cue {each.low:.2f} to {each.high:.2f}: {each.chance:.0%} foreground, "
            f"{each.share:.0%} of the sure pixels"
            for each in points
        ]
        series = [Series("diagonal", [0, 1], [0, 1])]
        calibration = self.record.calibration
        if calibration is not None:
            values = np.linspace(0, 1, 129)
            series.append(Series("cues", values, calibrated_chance(calibration, values)))
        series.append(Series("cam", middle, [each.chance for each in points], True, titles=titles))
        label = "Chance of foreground by the value of the cue: " + "; ".join(titles)
        return chart(series, label, "value of the cue", x_span=(0, 1), y_span=(0, 1))

    @property
    def command(self) -> str:
        words = [self.folders[name] for name in ("cam_dir", "cue_dir", "refined_dir")]
        flat = [each for word in words for each in ([word] if isinstance(word, str) else word)]
        return shlex.join(["c2am-show", *flat, "--images", self.folders["images"], "-o", "PAGE"])


def write_page_of(
    look: Look, gallery: Gallery, chosen: Mapping[str, str], out: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Write both files. chosen: {image id: why}. Returns those that are shown, and those that
    cannot be, {image id: one line}."""
    failures: dict[str, str] = {}

    def panels(image_id: str) -> list[Panel]:
        try:
            return gallery.panels(image_id)
        except InputError as error:
            failures[image_id] = str(error)
            return []

    rows, left_out = within(chosen, panels)
    rows = [(image_id, panels) for image_id, panels in rows if image_id not in failures]
    write_page(
        out / PAGE,
        "show.html",
        look=look,
        rows=rows,
        chosen=chosen,
        left_out=left_out,
        gallery=gallery,
        failures=failures,
    )
    with atomic_path(out / "images.csv") as temporary:
        temporary.write_text(_csv(look.facts), encoding="utf-8", errors="backslashreplace")
    return {image_id: chosen[image_id] for image_id, _ in rows}, failures


def _csv(facts: Mapping[str, ImageFacts]) -> str:
    """One line per image, most changed first; shares of its pixels in [0, 1]."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "changed", "foreground_before", "foreground_after", "cue_weight"])
    for each in sorted(facts.values(), key=lambda each: (-each.change, each.image_id)):
        sides = [sum(side.values()) / max(1, each.pixels) for side in (each.before, each.after)]
        weight = "" if each.trust is None else f"{each.trust:.4f}"
        writer.writerow([each.image_id, *(f"{v:.4f}" for v in (each.change, *sides)), weight])
    return text.getvalue()
