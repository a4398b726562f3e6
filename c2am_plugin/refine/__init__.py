"""Refining a folder of CAM files by a folder of cues. Never imports torch."""
