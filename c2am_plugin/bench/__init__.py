"""What the cues are worth: CAM files and labels against ground truth, as a table and a page."""
