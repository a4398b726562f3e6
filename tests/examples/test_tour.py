"""examples/tour.ipynb: its cells run in order, and what they show is true."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

import c2am_plugin

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tour.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def test_the_notebook_is_stored_without_outputs_and_uses_public_names():
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in CELLS)
    assert "c2am_plugin." not in "".join(CODE)
    (imported,) = (text for text in "".join(CODE).split("import (")[1:])
    names = [name.strip() for name in imported.split(")")[0].split(",") if name.strip()]
    assert set(names) <= set(c2am_plugin.__all__)


@pytest.mark.slow
def test_every_cell_runs_and_each_step_helps(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib", reason="the notebook draws with matplotlib")
    matplotlib.use("Agg")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    space = {}
    for number, source in enumerate(CODE):
        exec(compile(source, f"{NOTEBOOK.name}, code cell {number}", "exec"), space)
        space["plt"].close("all")
    scores = space["scores"]
    assert list(scores) == ["CAM", "uncalibrated", "calibrated", "calibrated + CRF"]
    assert list(scores.values()) == sorted(scores.values())
