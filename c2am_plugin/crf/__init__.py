"""The dense CRF, in numba. Knows arrays only."""
