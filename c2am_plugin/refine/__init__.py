"""Refining a folder of CAM files with a folder of cues. Never imports torch."""
