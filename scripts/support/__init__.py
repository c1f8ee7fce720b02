"""What the scripts beside this folder have in common. Nothing of it is shipped."""
