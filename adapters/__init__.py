"""One module a pipeline: its stored format, its threshold. Installed as `c2am_adapters`."""
