"""Class-agnostic boxes: from maps and cues to boxes, and how well they localise."""
