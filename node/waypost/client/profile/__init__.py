"""What is on the disk: keys and lock, the database and how its contents are encrypted."""
