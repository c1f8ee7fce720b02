"""The running node. Bytes come in by links, decisions come from `routing`, custody is kept by the store.

`intake` takes envelopes in, a `courier` for each mailbox hands them on (lone ones at once, see `early`), the `ledger`
brings what has been committed to the couriers in the order of commits. `peers` knows the peer nodes, `dialer` keeps
them linked, `devices` keeps the links of local devices, `greeter` lets both in. `directory` answers requests, `upkeep`
and `delays` do what time brings. `node.Relay` holds them together.
"""
