"""The structures that travel, one module for each, with how they are signed and read. None knows a group."""
