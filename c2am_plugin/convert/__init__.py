"""Writes CAM files of one layout in another layout."""
