"""Pictures and numbers of a finished refinement, without ground truth."""
