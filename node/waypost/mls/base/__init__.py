"""What everything else stands on: encoding, numbers of the registries, bounds, errors, primitives, node numbers."""
