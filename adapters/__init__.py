"""One module a pipeline: its format, its threshold, its seeds. Installed as `c2am_adapters`."""
