"""What a pipeline's next stage trains on, made from CAM files."""
