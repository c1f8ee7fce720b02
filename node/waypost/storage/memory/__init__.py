"""The store in memory: for networks in one process."""
