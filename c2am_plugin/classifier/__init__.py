"""CAMs of one's own: a multi-label classifier, trained with pixel-level self-supervision."""
