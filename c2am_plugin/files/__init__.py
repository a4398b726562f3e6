"""What is read from disk and written to it: folders, lists, pictures, cues, labels, no CAMs."""
