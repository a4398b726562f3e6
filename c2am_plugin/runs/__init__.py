"""How a run over many images goes: workers, shards, output folders, locks, signals, ranks."""
