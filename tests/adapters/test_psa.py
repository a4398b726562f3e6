from adapter_contract import DictContract


class TestPsa(DictContract):
    name = "psa"
    threshold = 0.20
