"""Layouts of CAM files, one per module, and the pipelines' profiles; installed as c2am_adapters."""
