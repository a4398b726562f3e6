"""Files on disk: folders, lists, images, cues and labels. CAM files are the adapters' topic."""
