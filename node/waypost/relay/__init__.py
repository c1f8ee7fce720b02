"""The running node. Bytes come in by links, decisions come from `routing`, custody is kept by the store.

`door` lets links in and dials out, `services` answers requests, `custody` takes envelopes in and hands them on,
`devices` and `federation` know who is connected. `accounts` and `peers` are what is known of local users and of other
nodes. `node.Relay` builds them all, from the bottom up.
"""
