"""Runs over many images: workers, shards, output folders, locks, signals, ranks."""
