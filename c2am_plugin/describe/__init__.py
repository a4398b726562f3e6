"""What a folder of cues is, before anything is made of it."""
