"""What a run of `refine_cams` left beside its folder: how it was made, and what it reported.

Knows the record, not the CAM files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..refine.calibration import Calibration
from ..refine.report import RefineReport
from ..refine.several_cues import CueReading
from ..runs.output_folders import read_record, read_report, record_path

__all__ = ["Record"]

COMMAND = "c2am-refine"
Folders = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Record:
    """A run's settings and report. report: None where the run did not end, or was not merged."""

    settings: dict[str, Any]
    report: RefineReport | None

    @classmethod
    def of(cls, refined_dir: Path, cam_dir: Path, cue_dir: Folders) -> Record:
        """The record of the run that wrote `refined_dir` from these CAMs and cues.

        Raises InputError where there is none, or where it is of a run with other inputs.
        """
        path = record_path(refined_dir, COMMAND)
        settings = read_record(path)
        if settings is None:
            raise InputError(
                f"{refined_dir}: {path.name} is not beside it, so how these CAMs were refined is "
                "unknown; expected the output folder of c2am-refine"
            )
        if lacking := sorted({"method", "background_score", "cam_dir", "cue_dir"} - set(settings)):
            raise InputError(
                f"{path}: does not contain {', '.join(lacking)}; refine the CAMs again"
            )
        _check_same(refined_dir, "cam_dir", settings["cam_dir"], cam_dir)
        _check_same(refined_dir, "cue_dir", settings["cue_dir"], cue_dir)
        return cls(settings, _report_of(read_report(path)))

    @property
    def calibration(self) -> Calibration | None:
        found = self.settings.get("calibrated")
        return Calibration(**_known(Calibration, found)) if found else None

    def reading(self, found: CueReading) -> CueReading:
        """How the cues were read. found: how the folders that are there now would be.

        Raises InputError where these are not as many different folders as then.
        """
        shares = tuple(self.settings.get("cue_shares", found.shares[:1]))
        if len(shares) != len(found.forms):
            raise InputError(
                f"the CAMs were refined with {len(shares)} different cue folders, and "
                f"{len(found.forms)} are given; give those of the run as `cue_dir`"
            )
        return replace(found, shares=shares) if len(shares) > 1 else found

    @property
    def scale_by(self) -> float | None:
        scale = self.settings.get("scale_by", 1.0)
        return None if scale == 1.0 else scale

    def option(self, name: str) -> bool:
        """Whether the run had this: "clip", "flip_cues", "stretch_cues", "guard", "segments"."""
        return bool(self.settings.get(name, False))


def _check_same(refined_dir: Path, name: str, recorded: Any, given: Folders) -> None:
    """Raise where another folder was refined. One that is gone has been moved, which is fine."""
    then = [Path(each) for each in ([recorded] if isinstance(recorded, str) else recorded)]
    now = [given] if isinstance(given, (str, Path)) else given
    # Copies of a cue folder are not recorded.
    same = {each.resolve() for each in then} <= {Path(each).resolve() for each in now}
    if not same and all(each.exists() for each in then):
        raise InputError(
            f"{refined_dir}: was refined from {', '.join(map(str, then))}, not from "
            f"{', '.join(map(str, now))}; give that folder as `{name}`"
        )


def _report_of(content: dict[str, Any] | None) -> RefineReport | None:
    if content is None:
        return None
    try:
        return RefineReport(**{**_known(RefineReport, content), "seeds": None})
    except TypeError:  # of another version
        return None


def _known(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in content.items() if name in names}
