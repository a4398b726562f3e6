"""Class-agnostic boxes: made from maps and cues, and scored for localisation."""
