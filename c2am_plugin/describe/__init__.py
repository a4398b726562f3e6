"""Describes a folder of cues before it is used."""
