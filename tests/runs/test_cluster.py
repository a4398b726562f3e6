"""Runs on a Dask cluster and in shards: the same bytes as one process."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
from small_files import contents, write_png

from c2am_plugin.bench.benchmark import benchmark
from c2am_plugin.bench.evaluate import evaluate_cams
from c2am_plugin.refine.run import refine_cams
from c2am_plugin.seeds.run import make_seeds

pytestmark = pytest.mark.slow

distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install .[dask]")


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as workers,
        distributed.Client(workers),
    ):
        yield


def test_a_dask_cluster_gives_the_same_bytes(cluster, make_set, tmp_path):
    cam_dir, cue_dir = make_set("puzzlecam", ids=[f"{i:02}" for i in range(12)])
    (cam_dir / "03.npy").write_bytes(b"broken")
    options = {"calibrate": "on", "progress": False}
    here = refine_cams(cam_dir, cue_dir, tmp_path / "h", labels=tmp_path / "hl", **options)
    with joblib.parallel_config(backend="dask"):
        there = refine_cams(cam_dir, cue_dir, tmp_path / "t", labels=tmp_path / "tl", **options)
    assert contents(tmp_path / "t") == contents(tmp_path / "h")
    assert contents(tmp_path / "tl") == contents(tmp_path / "hl")
    assert there.refined == here.refined == 11
    assert there.failures == here.failures


def test_seeds_and_scores_are_the_same_on_a_cluster(cluster, make_set, tmp_path):
    ids = [f"{i:02}" for i in range(5)]
    cam_dir, cue_dir = make_set(ids=ids)
    rng = np.random.default_rng(0)
    for image_id in ids:
        write_png(tmp_path / "gt" / f"{image_id}.png", rng.integers(0, 21, (24, 32)))
        write_png(tmp_path / "photos" / f"{image_id}.png", rng.integers(0, 256, (24, 32, 3)))

    def everything(name):
        make_seeds(cam_dir, tmp_path / name, tmp_path / "photos", method="psa", progress=False)
        result = benchmark(
            {"psa": cam_dir},
            cue_dir,
            tmp_path / "gt",
            tmp_path / f"{name}-bench",
            images=tmp_path / "photos",
            crf=True,
            progress=False,
        )
        sweep = evaluate_cams(cam_dir, tmp_path / "gt", method="psa", progress=False)
        return contents(tmp_path / name), result.table(), [float(each.miou) for each in sweep]

    here = everything("here")
    with joblib.parallel_config(backend="dask"):
        assert everything("there") == here
