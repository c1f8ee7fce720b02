"""Mail: written down before it leaves and before its receipt does, over the link to the account's node."""
