"""Groups of many members, for measuring and for spoilt input."""
