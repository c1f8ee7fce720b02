"""What a node remembers. `store` is the interface; `memory` and `sqlite` pass one conformance suite."""
