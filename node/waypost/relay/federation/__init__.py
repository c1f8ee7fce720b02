"""Other nodes: who they are, how they are reached, what is heard of them."""
