"""What can be asked of a store: frozen operations and questions in closed unions, and what it tells of its commits."""
