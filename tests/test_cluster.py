"""Runs on a Dask cluster and in shards: the same bytes as one process."""

from __future__ import annotations

import joblib
import pytest

from c2am_plugin.refine import refine_cams

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


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
