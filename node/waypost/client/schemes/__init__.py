"""How a message is encrypted end to end: a module for each suite, behind one interface."""
