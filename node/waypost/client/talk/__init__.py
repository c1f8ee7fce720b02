"""What people do: write to somebody, meet a key, read."""
