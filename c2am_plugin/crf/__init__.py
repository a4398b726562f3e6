"""The dense CRF, in numba or pydensecrf. Knows arrays only."""
