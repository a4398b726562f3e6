from adapter_contract import DictContract


class TestSeam(DictContract):
    name = "seam"
    background_score = 0.26
