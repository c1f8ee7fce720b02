"""From an epoch's secrets to the keys of each message: schedule, transcript, secret tree, protection of messages."""
