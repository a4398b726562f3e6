import numpy as np
import torch
from adapter_contract import KeyedContract

MAPS = np.linspace(0, 1, 48, dtype=np.float32).reshape(1, 6, 8)


class TestPuzzleCam(KeyedContract):
    name = "puzzlecam"
    background_score = 0.20
    wanted = "puzzlecam's keys [0, c+1 …], hr_cam K×H×W and cam"
    without_class = (
        {},
        {"keys": np.array([0])},
        {"keys": np.array([0]), "cam": torch.zeros(0, 2, 2), "hr_cam": np.zeros((0, 6, 8), "f4")},
        {"keys": [0], "hr_cam": np.zeros((0, 6, 8), "f4")},
    )
    relatives = {  # noqa: RUF012
        "C2AM's own maps": (
            {"keys": [0, 1], "cam": torch.tensor(MAPS[:, ::4, ::4]), "hr_cam": MAPS},
            [0],
        ),
        "P-NOC": (
            {"keys": [0, 4, 9], "hr_cam": MAPS.repeat(2, 0), "cam": MAPS.repeat(2, 0)[:, ::4, ::4]},
            [3, 8],
        ),
        "the random walk's rw": ({"keys": np.array([0, 1]), "rw": MAPS}, [0]),
        "rw as tensor": ({"keys": np.array([0, 3]), "rw": torch.tensor(MAPS)}, [2]),
        "a list of layers": ({"keys": [0, 3, 4], "hr_cam": [MAPS[0], MAPS[0] / 2]}, [2, 3]),
        "a list of LVIS classes": ({"keys": [0, 1203], "hr_cam": MAPS}, [1202]),
    }

    def test_keys_are_left_as_they_are(self, tmp_path):
        self.write(tmp_path / "a.npy", 3)
        self.adapter.dump(self.read(tmp_path / "a.npy"), tmp_path / "b.npy")
        paths = (tmp_path / "a.npy", tmp_path / "b.npy")
        before, after = (np.load(path, allow_pickle=True).item()["keys"] for path in paths)
        assert before[0] == after[0] == 0
        np.testing.assert_array_equal(before, after)
