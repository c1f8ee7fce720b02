"""Plans that have found something in the relay, as they were when they did. All promises hold in them now.

By the name of the mutant that puts it back, where there is one.
"""

from waypost_lab.simulate.plan import Plan

FOUND = {
    "expired-again": (
        Plan(nodes=6, users=24, hours=8.0, seed=17, messages_a_day=160.0, neighbours=4, squeeze=10.0),
        "a full disk multiplied what had expired: the same parcel was given up again and again",
    ),
    "news-dropped": (
        Plan(nodes=3, users=12, hours=8.0, seed=5, messages_a_day=300.0, neighbours=2, squeeze=5.0),
        "news for a sender whose mailbox was full were acknowledged and dropped",
    ),
    "news-for-nobody": (
        Plan(nodes=5, users=10, hours=5.0, seed=8, messages_a_day=30.0, neighbours=4, squeeze=5.0),
        "news for a provider that had left waited for a day",
    ),
    "late-truth": (
        Plan(
            nodes=3,
            users=12,
            hours=3.0,
            seed=242,
            messages_a_day=160.0,
            neighbours=2,
            squeeze=10.0,
            online=1.0,
            sqlite=0.5,
        ),
        "a message was delivered, sent again by an app that had been told so, and expired",
    ),
    "early-apps": (
        Plan(nodes=7, users=14, hours=3.0, seed=32, messages_a_day=80.0, neighbours=4, squeeze=2.0, sqlite=1.0),
        "a message was shown, and its sender was told that it had expired",
    ),
}
