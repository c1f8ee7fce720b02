"""Sentences that set something up, and sentences in which something happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from waypost.crypto.seal import SUITE
from waypost.errors import Code, LocalError
from waypost.limits import CLAIM_RATE_PER_S
from waypost.storage.operations.keys import AddPackages
from waypost.storage.operations.mail import Accept
from waypost_lab.faults import fabric, words
from waypost_lab.scenario.stage import Once, Stage
from waypost_lab.scenario.vocabulary import deed, setup


def faults(*rows: tuple[str, str, Callable[..., words.Fault]]) -> None:
    """Forms by which a fault begins or ends: each with what it means, and what is made of what its slots hold."""
    for template, about, make in rows:
        deed(template)(_doing(make, about))


def _doing(make: Callable[..., words.Fault], about: str) -> Callable[..., Awaitable[None]]:
    async def do(stage: Stage, *values: str | float) -> None:
        ends = [stage.end_of(value) if isinstance(value, str) else value for value in values]
        await fabric.do(stage.net, make(*ends))

    do.__doc__ = about
    return do


# ── who is there ────────────────────────────────────────────────────────────────────────────────────────────────────


@setup("nodes <new nodes>")
async def nodes(stage: Stage, names: tuple[str, ...]) -> None:
    """These nodes run, know of each other, and accept mail from everybody."""
    stage.add_nodes(names)


@setup("users <new users>")
async def users(stage: Stage, names: tuple[tuple[str, str], ...]) -> None:
    """Each has one device with the SDK: everything is encrypted. They are online."""
    stage.add_users(names, light=False)


@setup("light users <new users>")
async def light_users(stage: Stage, names: tuple[tuple[str, str], ...]) -> None:
    """The same without encryption, for thousands of messages. The SDK of others cannot read what they write."""
    stage.add_users(names, light=True)


@setup("mailboxes at <node> hold <number> messages")
async def mailboxes(stage: Stage, node: str, messages: int) -> None:
    """More is refused for now."""
    stage.limit_mailboxes(node, messages)


# ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@deed("<user> writes <text> to <user>")
async def writes(stage: Stage, sender: str, text: str, recipient: str) -> None:
    """One message, called by its text from then on, or “it” while it is the last."""
    await stage.people[sender].write(stage.people[recipient].address, [text])


@deed("<user> writes <text> to <user>, good for <time>")
async def writes_for(stage: Stage, sender: str, text: str, recipient: str, seconds: float) -> None:
    """The same, with another time to live than 5 days."""
    await stage.people[sender].write(stage.people[recipient].address, [text], round(seconds))


@deed("<user> writes <text> to <user>, accepting a new key")
async def writes_accepting(stage: Stage, sender: str, text: str, recipient: str) -> None:
    """The same, whatever identity key the recipient has by now."""
    person = stage.sdk(sender)
    person.accepts_new_key = True
    await person.write(stage.people[recipient].address, [text])
    person.accepts_new_key = False


#: Forms that name a message by its text, which is their second slot.
WRITES = (writes, writes_for, writes_accepting)


@deed("<user> writes <number> messages to <user>")
async def writes_many(stage: Stage, sender: str, number: int, recipient: str) -> None:
    """As fast as the app can."""
    texts = [f"{each} of {number:,} to {recipient}" for each in range(1, number + 1)]
    await stage.people[sender].write(stage.people[recipient].address, texts)


@deed("<user> goes offline")
async def goes_offline(stage: Stage, user: str) -> None:
    """The app is closed."""
    await stage.people[user].offline()


@deed("<user> comes online")
async def comes_online(stage: Stage, user: str) -> None:
    """The app is opened again."""
    await stage.people[user].online()


@deed("<user>'s app crashes")
async def app_crashes(stage: Stage, user: str) -> None:
    """What it had not written down is gone; it stays offline."""
    await stage.people[user].crash()


@deed("<user>'s app chokes on <text>")
async def chokes(stage: Stage, user: str, text: str) -> None:
    """Whenever the node brings a message of that text, a light user's app says: not now."""
    stage.light(user).choke(text, Code.INTERNAL)


@deed("<user>'s app rejects <text>")
async def rejects(stage: Stage, user: str, text: str) -> None:
    """The same, for good."""
    stage.light(user).choke(text, Code.MALFORMED_ENVELOPE)


@deed("<user> takes <number> keys of <user>")
async def takes_keys(stage: Stage, taker: str, number: int, owner: str) -> None:
    """A light user's app claims that many key packages, one a second, and writes nothing."""
    app, address = stage.light(taker).app, stage.people[owner].address
    for _ in range(number):
        app.claim(address, SUITE)
        await trio.sleep(1 / CLAIM_RATE_PER_S)
    await app.until(lambda: not app.profile.claims)


# ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

faults(
    ("<node> stops", "In good order.", words.Stop),
    ("<node> crashes", "The program is killed; its machine tells everyone who is connected.", words.Kill),
    ("power of <node> fails", "The machine is off, and tells nobody.", words.PowerLoss),
    ("<node> starts", "Again, with what its disk holds.", words.Start),
    ("<node> leaves for good", "It tells all that it can reach, and ends.", words.Leave),
)


@deed(
    "<node> crashes once it has stored <number> more messages",
    "<node> crashes once it has stored <number> more message",
)
async def crashes_after_storing(stage: Stage, node: str, number: int) -> None:
    """Right after that is durable and before anybody is told so."""
    await stage.crash_once(Once(node, Accept, number))


@deed("<node> crashes once it has stored new keys")
async def crashes_after_keys(stage: Stage, node: str) -> None:
    """The same, of the next upload of key packages."""
    await stage.crash_once(Once(node, AddPackages, 1))


faults(
    ("<node> makes a backup", "A copy of all that it holds; the last one counts.", words.Backup),
    ("<node> is restored from its backup", "While it is down.", words.Restore),
    ("<node> loses its key", "While it is down: it will come back with a new one.", words.LoseKey),
)


@deed("the operator of <node> accepts the new key of <node>")
async def accepts_key(stage: Stage, node: str, peer: str) -> None:
    """As with `waypost peers pin`."""
    stage.net.pin(node, peer)


@deed("the operator of <node> starts over with <user>")
async def starts_over(stage: Stage, node: str, user: str) -> None:
    """The account is removed and made anew, and the user joins with a new profile."""
    person = stage.people[user]
    if stage.homes[user] != node:
        raise LocalError(Code.BAD_CONFIG, f"{user} is not at {node}")
    await person.offline()
    await stage.net.renew(person.address)
    await person.online()


faults(
    ("the disk of <node> is full", "There is no room for more than it holds.", words.FullDisk),
    ("the disk of <node> has room again", "As before.", words.FreeDisk),
    ("the disk of <node> takes <time> to write", "From then on; a good one takes 2 ms.", words.SlowDisk),
    # ── clocks and time
    ("the clock of <node or user> is <time> fast", "From then on.", words.Skew),
    ("the clock of <node or user> is <time> slow", "From then on.", lambda who, seconds: words.Skew(who, -seconds)),
    ("the clock of <node or user> is right again", "From then on.", words.Skew),
)


@deed("<time> pass", "<time> passes")
async def time_passes(_stage: Stage, seconds: float) -> None:
    """Nothing is done meanwhile."""
    await trio.sleep(seconds)


faults(
    (
        "<node or user> and <node or user> cannot reach each other",
        "What they send each other disappears, and nobody is told.",
        words.Cut,
    ),
    (
        "<node or user> cannot reach <node or user>",
        "The same for what the first sends; the other way is open.",
        lambda source, target: words.Cut(source, target, one_way=True),
    ),
    (
        "<node or user> can reach <node or user> again",
        "What the first sends arrives again.",
        lambda source, target: words.Mend(source, target, one_way=True),
    ),
    ("everyone can reach everyone again", "All ways are open and quick.", words.Heal),
    ("the way between <node or user> and <node or user> takes <time>", "In each direction.", words.Slow),
    (
        "the way between <node or user> and <node or user> loses <percent>",
        "Of what is sent, which then must be sent again.",
        words.Loss,
    ),
)
