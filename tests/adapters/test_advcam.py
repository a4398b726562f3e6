import numpy as np
import pytest
import torch
from adapter_contract import KeyedContract

MAPS = np.linspace(0, 1, 48, dtype=np.float32).reshape(1, 6, 8)
SMALL = torch.tensor(MAPS[:, ::4, ::4])


class TestAdvCam(KeyedContract):
    name = "advcam"
    background_score = 0.15
    wanted = "advcam's keys [c …], high_res K×H×W and cam"
    without_class = (
        {},
        {"keys": torch.zeros(0, dtype=torch.int64)},
        {"keys": np.zeros(0, np.int64), "cam": SMALL[:0], "high_res": MAPS[:0]},
        {"keys": []},
        {"keys": [0]},
    )
    relatives = {  # noqa: RUF012
        "IRN": ({"keys": np.array([0]), "cam": SMALL, "high_res": MAPS}, [0]),
        "LPCAM": (
            {"keys": torch.tensor([0, 1]), "cam": SMALL.repeat(2, 1, 1),
             "high_res": torch.tensor(MAPS.repeat(2, 0))},
            [0, 1],
        ),
        "int32 keys": ({"keys": np.array([7], "i4"), "cam": SMALL, "high_res": MAPS}, [7]),
        "cam half, high_res double": (
            {"keys": torch.tensor([7]), "cam": SMALL.half(), "high_res": MAPS.astype("f8")},
            [7],
        ),
    }  # fmt: skip

    @pytest.mark.parametrize("class_ids", [[0], [0, 1], [0, 5, 9]])
    def test_a_leading_class_0_is_not_a_background(self, tmp_path, class_ids):
        maps = MAPS.repeat(len(class_ids), 0)
        content = {"keys": torch.tensor(class_ids), "cam": torch.tensor(maps[:, ::4, ::4])}
        np.save(tmp_path / "a.npy", content | {"high_res": maps})
        assert self.read(tmp_path / "a.npy").class_ids.tolist() == class_ids
