"""CAM files of one layout written in another."""
