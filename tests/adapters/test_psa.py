from adapter_contract import DictContract


class TestPsa(DictContract):
    name = "psa"
    background_score = 0.20
