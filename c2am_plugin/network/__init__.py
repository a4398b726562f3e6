"""C²AM itself: training it on images, its maps, and the cues made from them. Imports torch."""
