"""The saliency network that refines cues (C2AM, appendix A.2): PoolNet, trained on cue files."""
