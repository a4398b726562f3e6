from adapter_contract import DictContract


class TestSeam(DictContract):
    name = "seam"
    threshold = 0.26
