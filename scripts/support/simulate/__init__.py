"""`scripts/simulate`: many seeds of the simulation, and proof that it would notice what it looks for."""
