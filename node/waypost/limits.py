"""Every bound, with its unit in its name and its reason beside it.

The first part is the protocol: both sides must agree, so a change is a new version. The second is taste: defaults of
this implementation, some of which the configuration can change.
"""

from __future__ import annotations

from waypost.clock import DAY_MS, MINUTE_MS

KIB = 1024
MIB = 1024 * KIB

# ── protocol ────────────────────────────────────────────────────────────────────────────────────────────────────────
PROTOCOL_VERSION_MIN = 1
PROTOCOL_VERSION_MAX = 1

#: A frame is read into memory whole, so its length is checked before its first byte is.
FRAME_MAX_BYTES = MIB
#: Before a peer has proved who it is, it may make us hold no more than this.
HANDSHAKE_FRAME_MAX_BYTES = 16 * KIB
#: One verdict list, one signature, one transaction.
BATCH_MAX_ENVELOPES = 512
#: Leaves room for the frame's own fields.
BATCH_MAX_BYTES = FRAME_MAX_BYTES - 4 * KIB
#: Larger content goes by blob.
BODY_MAX_BYTES = 64 * KIB
#: Body, 64 recipients with the longest names, and the fields around them.
ENVELOPE_MAX_BYTES = BODY_MAX_BYTES + 8 * KIB
RECIPIENTS_MAX = 64
#: Characters of the user part; 64 octets is also what email allows (RFC 5321 §4.5.3.1.1).
USER_MAX_CHARS = 64
#: A DNS name in text form (RFC 1035 §2.3.4).
PROVIDER_MAX_CHARS = 253
SUITE_MAX_CHARS = 32
#: Arrays inside any frame: the decoder allocates for a claimed length, so a claim is bounded.
ARRAY_MAX_ITEMS = 2_048
TEXT_MAX_CHARS = 1_024
#: Envelopes a sender may ask to live; also how long an id can matter for duplicates.
EXPIRY_MAX_S = 5 * 86_400
#: Delivery reports that wait for a sender to come back.
REPORT_EXPIRY_S = 86_400
CLOCK_TOLERANCE_MS = 5 * MINUTE_MS
#: Ids are remembered this long beyond the last moment at which their envelope could be accepted.
SEEN_EXTRA_MS = 2 * DAY_MS
RECORD_LIFETIME_MS = 30 * DAY_MS
RECORD_ENDPOINTS_MAX = 8
RECORD_FEATURES_MAX = 16
RECORD_MAX_BYTES = 4 * KIB
RECORDS_PER_MESSAGE_MAX = 64
NOTICE_IDS_MAX = 1_024
QUERIES_IN_FLIGHT_MAX = 64
PACKAGES_PER_DEVICE_MAX = 100
PACKAGES_LOW = 20
PACKAGE_MAX_BYTES = 4 * KIB
DEVICES_PER_ACCOUNT_MAX = 6
DEVICE_LIST_MAX_BYTES = 2 * KIB
BUNDLE_MAX_BYTES = 64 * KIB
SUITES_PER_CLAIM_MAX = 8
SIGNAL_MAX_BYTES = 4 * KIB

# ── taste: secrets at rest ──────────────────────────────────────────────────────────────────────────────────────────
#: A locked file names its own cost; a hostile one may not take all memory or run for ever.
VAULT_MEMORY_MAX_KIB = 512 * KIB
VAULT_PASSES_MAX = 16
VAULT_SECRET_MAX_BYTES = 64 * KIB

# ── taste: links ────────────────────────────────────────────────────────────────────────────────────────────────────
HANDSHAKE_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 10.0
#: NAT tables forget TCP after minutes, some after one; half of that.
PING_AFTER_S = 25.0
#: Two pings unanswered and some slack.
SILENT_AFTER_S = 60.0
#: What a receiver grants: enough to fill a 100 ms round trip at tens of thousands a second, and a bound on memory.
WINDOW_ENVELOPES = 4_096
WINDOW_BYTES = 16 * MIB
DEVICE_WINDOW_ENVELOPES = 1_024
DEVICE_WINDOW_BYTES = 2 * MIB
#: Bytes encoded and not yet taken by the socket; beyond it the producer waits.
SEND_BUFFER_MAX_BYTES = 4 * MIB
RECEIVE_CHUNK_BYTES = 256 * KIB
TLS_RECORD_BYTES = 16 * KIB
LINKS_MAX = 8_192
#: TLS messages owed to a peer that makes us owe them, such as answers to key updates.
TLS_CONTROL_MAX_BYTES = 16 * KIB
#: Beyond it a link is not read until some has left. Offers stop at SEND_BUFFER_MAX_BYTES; the rest is room for receipts
#: and QUERIES_IN_FLIGHT_MAX answers, so two honest peers never both stop reading.
UNREAD_ABOVE_BYTES = 4 * SEND_BUFFER_MAX_BYTES
#: For the last bytes to arrive and the peer to hang up.
LINGER_S = 3.0
UNPROVEN_LINKS_MAX = 256
ACCEPT_RETRY_S = 0.1

# ── taste: the node ─────────────────────────────────────────────────────────────────────────────────────────────────
PEERS_MAX = 4_096
DIALS_AT_ONCE = 32
#: One try to reach a peer, all its endpoints together.
DIAL_TIMEOUT_S = 45.0
#: Peers that were only heard of. Anyone can make up thousands; those that were met are not crowded out by them.
HEARD_OF_MAX = 1_024
#: Links of devices that no account lists, and that may only join.
STRANGERS_MAX = 256
#: Batches in flight and no receipt for that long: whoever takes nothing may not make us hold it.
RECEIPT_TIMEOUT_S = 120.0
#: The longest that a peer may ask us to wait before we try again.
RETRY_HINT_MAX_S = 3_600.0
#: A node that leaves for good gives its linked peers so long to take what is for them.
LEAVE_S = 10.0
#: A tombstone goes to all linked peers; a provider that leaves again and again is passed on no more often.
TOMBSTONE_GAP_S = 3_600.0
#: A refused item is tried again after this, then after half its age, up to the longest.
DEFER_MIN_S = 60.0
DEFER_MAX_S = 6 * 3_600.0
#: Keys that were not let in, remembered so that the operator can pin one by its fingerprint. Anyone can make more.
REFUSED_KEYS_MAX = 256
#: Envelopes of one mailbox held in memory for a connected consumer; more wait on disk.
FEED_MAX_ENVELOPES = 8_192
FEED_MAX_BYTES = 16 * MIB
#: The same for all mailboxes of a node together.
FEEDS_MAX_BYTES = 96 * MIB
#: What each may hold even so, a little at a time: whoever takes nothing must not keep others from their mail.
FEED_FLOOR_BYTES = 128 * KIB
#: One read of a backlog from the store.
FETCH_MAX_ENVELOPES = 2_048
FETCH_MAX_BYTES = 4 * MIB
#: Envelopes offered onwards while they are being committed here: lone messages, not bulk, which gains from batches.
EARLY_ENVELOPES_MAX = 16
EARLY_BATCHES_MAX = 2
#: Ids that are not offered onwards early a second time.
EARLY_RECENT_IDS = 4_096
#: Kept free on the disk, or an eighth of it if it is small: clearing up writes too, and must always be possible.
DISK_RESERVE_BYTES = 32 * MIB
COMMIT_MAX_OPERATIONS = 256
COMMIT_MAX_BYTES = 4 * MIB
MAILBOX_MAX_ENVELOPES = 100_000
MAILBOX_MAX_BYTES = 256 * MIB
OUTBOX_MAX_ENVELOPES = 1_000_000
OUTBOX_MAX_BYTES = 4 * 1024 * MIB
ACCOUNT_RATE_PER_S = 100.0
ACCOUNT_BURST = 2_000
PEER_RATE_PER_S = 20_000.0
PEER_BURST = 40_000
QUERY_RATE_PER_S = 20.0
QUERY_BURST = 200
INVITE_LIFETIME_MS = 7 * DAY_MS
INVITES_OPEN_MAX = 10_000
TRACE_LIFETIME_MS = 7 * DAY_MS
DELAY_NOTICES_S = (3_600.0, 86_400.0)
#: Ids of recent envelopes held in memory (about 100 B each); older ones are looked up on disk.
SEEN_CACHE_IDS = 400_000
UPKEEP_EVERY_S = 30.0
QUERY_TIMEOUT_S = 10.0
ADMIN_CONNECTIONS_MAX = 16
ADMIN_REQUEST_MAX_BYTES = 16 * KIB
#: Peers, users or queues in one answer: about 600 bytes each, within a frame.
ADMIN_LISTED_MAX = 1_000
#: A command asks and goes; `--watch` asks every second.
ADMIN_IDLE_S = 60.0
#: Requests kept to answer a repeated claim or publish the same way.
IDEMPOTENCE_LIFETIME_MS = DAY_MS
#: A recent claim by one provider for one address; stops a peer from draining one-time packages.
CLAIM_RATE_PER_S = 1.0
CLAIM_BURST = 50

# ── taste: discovery ────────────────────────────────────────────────────────────────────────────────────────────────
#: The port of a node whose DNS name has no SRV record, and the one that a node listens on unless told otherwise.
DEFAULT_PORT = 7_711
#: Announcements remembered from a LAN; anyone on it can make up thousands. The oldest goes first.
MDNS_SEEN_MAX = 1_024
#: TXT data of one announcement: ours has about 400 bytes at the most.
MDNS_TXT_MAX_BYTES = 512
MDNS_RESOLVES_AT_ONCE = 16
MDNS_RESOLVE_TIMEOUT_S = 3.0
#: A peer that cannot be reached is asked for again no more often.
MDNS_REFRESH_MIN_S = 5.0
#: Goodbyes take a quarter of a second; a network that blocks must not hold up a shutdown.
MDNS_CLOSE_TIMEOUT_S = 2.0
#: One look-up of a provider, all its questions together.
DNS_TIMEOUT_S = 5.0
DNS_LOOKUPS_AT_ONCE = 32
#: Names without an answer are remembered, so that mail to a made-up name does not become DNS traffic.
DNS_MISSES_MAX = 4_096
DNS_MISS_S = 60.0
#: Shorter where the DNS itself had trouble.
DNS_TROUBLE_S = 5.0
DNS_TXT_MAX_BYTES = 512

# ── taste: the client ───────────────────────────────────────────────────────────────────────────────────────────────
#: Seconds before the next attempt to reach the node, less up to half at random; the last one repeats.
RECONNECT_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
#: Seconds before a message refused for now, or without keys, is tried again; the last one repeats.
RESEND_S = (2.0, 10.0, 30.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0)
#: Messages that wait in a profile until the node has taken them.
UNSENT_MAX_MESSAGES = 10_000
UNSENT_MAX_BYTES = 256 * MIB
#: Messages that the app has not asked for; beyond it the node keeps them.
UNREAD_MAX_MESSAGES = 50_000
UNREAD_MAX_BYTES = 256 * MIB
PACKAGE_LIFETIME_MS = 30 * DAY_MS
#: Whoever has claimed a key package may write with it that long.
PACKAGE_REUSE_MS = DAY_MS
#: Half its lifetime, so that a device which is seldom online has a fresh one published.
LAST_RESORT_RENEW_MS = 15 * DAY_MS
#: Private keys kept for packages that may still be in use; if somebody drains them, the last-resort one has to do.
PACKAGE_KEYS_MAX = 5_000
PINS_MAX = 100_000
BUNDLES_MAX = 10_000
CLAIMS_AT_ONCE = 8
SEAL_AT_ONCE = 64
STATUSES_PER_MESSAGE_MAX = 32
#: How long the history of a sent message can be asked for.
JOURNAL_LIFETIME_MS = 30 * DAY_MS
#: How long the copy is kept that was made of a profile's database before its schema was upgraded.
SCHEMA_COPY_KEPT_MS = 14 * DAY_MS
CLIENT_UPKEEP_S = 60.0
MEDIA_TYPE_MAX_CHARS = 255
