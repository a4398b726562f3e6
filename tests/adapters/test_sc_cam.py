from adapter_contract import DictContract


class TestScCam(DictContract):
    name = "sc_cam"
    background_score = 0.15
