"""The pipeline in CONTRIBUTING.md works as it is printed there, installed beside the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_files import write_png

pytestmark = pytest.mark.slow

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_printed_pipeline_is_refined_by_its_name(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(code.splitlines()) <= 20
    (tmp_path / "my_package.py").write_text(code)
    metadata = tmp_path / "mine-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    points = re.findall(r'`"(c2am_plugin\.\w+)": \["(\w+)=([\w.:]+)"\]`', TEXT)
    assert len(points) == 2
    lines = [f"[{group}]\n{name}={value}\n" for group, name, value in points]
    (metadata / "entry_points.txt").write_text("\n".join(lines))

    maps = np.linspace(0, 1, 24 * 32).reshape(1, 24, 32).astype(np.float16)
    (tmp_path / "cams").mkdir()
    np.save(tmp_path / "cams" / "a.npy", {"keys": np.array([7]), "maps": maps})
    write_png(tmp_path / "cues" / "a.png", np.full((24, 32), 128))
    words = ["cams", "cues", "--method", "mine", "--labels", "out", "--calibrate", "off"]
    command = "import sys; from c2am_plugin.cli import refine_main; sys.exit(refine_main())"
    done = subprocess.run(
        [sys.executable, "-c", command, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "at t = 0.37" in done.stdout
    stored = np.load(tmp_path / "cams_c2am" / "a.npy", allow_pickle=True).item()
    assert list(stored) == ["keys", "maps"]
    assert stored["maps"].dtype == np.float16
