"""Every pipeline's layout can be shown, with the background that its files contain or without."""

from __future__ import annotations

import numpy as np
import pytest
from pipelines import PIPELINES, make_image
from small_files import write_png

from c2am_plugin import get_adapter, refine_cams, show_refinement


@pytest.mark.parametrize("pipeline", PIPELINES, ids=[each.name for each in PIPELINES])
def test_a_page_of_every_layout(pipeline, tmp_path):
    cams, cues, photos = (tmp_path / name for name in ("cams", "cues", "photos"))
    cams.mkdir()
    for index, image_id in enumerate("abc"):
        image = make_image(index + 1, dtype=pipeline.dtype, seed=index)
        pipeline.save(cams / f"{image_id}{pipeline.suffix}", pipeline.store(image))
        write_png(cues / f"{image_id}.png", np.rint(255 * (1 - image.cue)))
        write_png(photos / f"{image_id}.png", np.full((*image.cue.shape, 3), 100))
    adapter = get_adapter(pipeline.name)
    stored = getattr(adapter, "stores_background", False)
    given = None if stored or adapter.background_score else 0.3
    options = {"method": pipeline.name, "calibrate": "on", "progress": False, "workers": 1}
    refine_cams(cams, cues, tmp_path / "out", background_score=given, **options)
    folders = cams, cues, tmp_path / "out", photos
    result = show_refinement(*folders, tmp_path / "page", progress=False, workers=1)
    assert result.failures == {}
    assert set(result.shown) == set("abc")
    text = result.page.read_text(encoding="utf-8")
    assert ("The files contain the background" in text) == pipeline.stored_background
