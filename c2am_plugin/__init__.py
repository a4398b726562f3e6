"""Better CAM files for weakly supervised segmentation, from C2AM's background cues."""

__version__ = "0.1.0"
