"""What is published and looked up: node records, device lists, key packages, invites."""
