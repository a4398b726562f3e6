from adapter_contract import DictContract


class TestScCam(DictContract):
    name = "sc_cam"
    threshold = 0.15
