"""The node as a process: configuration, state directory, log, administration, and where all of it is put together."""
