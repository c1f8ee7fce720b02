"""Sentences that claim something. Each looks, and says what is the case if it is not what was claimed."""

from __future__ import annotations

from waypost.errors import Code, code_of
from waypost.ids import id_text
from waypost_lab.book import AppStep, Letter
from waypost_lab.scenario.stage import Stage
from waypost_lab.scenario.vocabulary import absence, claim

# ── what arrives ────────────────────────────────────────────────────────────────────────────────────────────────────


@claim("<user> sees <message>")
async def sees(stage: Stage, user: str, text: str) -> str | None:
    """It is shown to the user, readable."""
    person = stage.people[user]
    if text in person.unreadable:
        return f"{user} cannot read it"
    shown = [each.text for each in person.seen]
    return None if text in shown else f"{user} has seen {_some(shown)}"


@claim("<user> sees <number> messages from <user>")
async def sees_many(stage: Stage, user: str, number: int, sender: str) -> str | None:
    """So many in all since the scenario began."""
    address = stage.people[sender].address
    count = sum(each.sender == address for each in stage.people[user].seen)
    return None if count == number else f"{user} has seen {count:,}"


@claim("<user> is shown that <message> cannot be read")
async def sees_unreadable(stage: Stage, user: str, text: str) -> str | None:
    """Neither side may believe that nothing happened."""
    unreadable = stage.people[user].unreadable
    return None if text in unreadable else f"{user} could not read {_some(sorted(unreadable))}"


@absence("<user> sees nothing")
async def sees_nothing(stage: Stage, user: str) -> str | None:
    """Nothing new is shown; a minute long if no time is given."""
    new = [each.text for each in stage.people[user].seen if each not in stage.seen_before]
    return f"{user} has seen {_some(new)}" if new else None


@claim("nothing is brought to <user> twice")
async def nothing_twice(stage: Stage, user: str) -> str | None:
    """By the user's node, over all links so far."""
    again = stage.people[user].brought_again
    return f"brought again: {_some(sorted(again))}" if again else None


@claim("every message has come to its end")
async def all_over(stage: Stage) -> str | None:
    """Of each its sender knows that it was delivered, bounced or expired."""
    left = [each for each in stage.book.letters if not each.is_over]
    return f"{len(left):,} have not, such as “{left[0].text}” ({_last(left[0])})" if left else None


# ── what the sender is told ─────────────────────────────────────────────────────────────────────────────────────────


def _news(*rows: tuple[str, AppStep, str]) -> None:
    """Claims about what a sender was told of a message, with the reason, where the sentence gives one."""
    for told, step, about in rows:

        async def is_told(
            stage: Stage, user: str, text: str, code: Code | None = None, step: AppStep = step
        ) -> str | None:
            return _told(stage, user, text, step, code)

        is_told.__doc__ = about
        claim(f"<user> is told that <message> {told}")(is_told)


_news(
    ("waits", AppStep.WAITING, "For whatever reason."),
    ("waits because <reason>", AppStep.WAITING, "The reason is the title of one of the numbered errors."),
    ("was accepted", AppStep.ACCEPTED, "By the user's own node."),
    ("was delivered", AppStep.DELIVERED, "The recipient's device has it."),
    ("bounced because <reason>", AppStep.BOUNCED, "It was refused for good."),
    ("expired", AppStep.EXPIRED, "It was not delivered in its time."),
)


@claim("<user> is told that all messages to <user> bounced because <reason>")
async def told_all_bounced(stage: Stage, user: str, recipient: str, code: Code) -> str | None:
    """Every one that was written so far."""
    sender, to = stage.people[user].address, stage.people[recipient].address
    theirs = [each for each in stage.book.letters if (each.sender, each.recipient) == (sender, to)]
    left = [each for each in theirs if (AppStep.BOUNCED, code.number) not in each.told]
    return f"{len(left):,} have not, such as “{left[0].text}” ({_last(left[0])})" if left else None


@claim("<user>'s app is told <reason>")
async def app_told(stage: Stage, user: str, code: Code) -> str | None:
    """Why there is no link to the node."""
    trouble = stage.sdk(user).client.trouble
    if trouble is not None and trouble.code is code:
        return None
    return f"it is told: {trouble.code.title}" if trouble else "it is connected"


# ── what nodes know ─────────────────────────────────────────────────────────────────────────────────────────────────


@claim("<node> says that <message> waits because <reason>")
async def says_waits(stage: Stage, node: str, text: str, code: Code) -> str | None:
    """Asked where a message is, as with `waypost why`."""
    written = stage.book.named(text)
    reply = (await stage.net.why(id_text(written.id))).get(node) if written.id else None
    if reply is None:
        return f"{node} does not know it"
    if reply.state in ("waiting", "deferred") and reply.code == code.number:
        return None
    return f"{node} says: {reply.state}{_because(reply.code)}"


@claim("<number> messages wait at <node> for <node or user>", "<number> message waits at <node> for <node or user>")
async def waits_at(stage: Stage, number: int, node: str, whom: str) -> str | None:
    """What is kept back for later counts too."""
    waiting = await stage.net.waiting(node, stage.end_of(whom))
    return None if waiting == number else f"{waiting:,} wait"


@claim("nothing waits at <node> for <node or user>")
async def nothing_waits(stage: Stage, node: str, whom: str) -> str | None:
    """Neither now nor for later."""
    return await waits_at(stage, 0, node, whom)


@claim("<node> and <node> are connected")
async def connected(stage: Stage, one: str, other: str) -> str | None:
    """Both think so."""
    states = [stage.net.linked(one, other), stage.net.linked(other, one)]
    return None if all(states) else "they are not" if not any(states) else "only one of them thinks so"


@claim("<node> and <node> are not connected")
async def not_connected(stage: Stage, one: str, other: str) -> str | None:
    """Neither thinks so."""
    states = [stage.net.linked(one, other), stage.net.linked(other, one)]
    return "they are" if all(states) else "one of them thinks so" if any(states) else None


@claim("the operator of <node> is told <text>")
async def operator_told(stage: Stage, node: str, text: str) -> str | None:
    """In a line of the node's log."""
    lines = [line for where, line in stage.logged if where == node]
    if any(text.lower() in line.lower() for line in lines):
        return None
    return f"the last lines of its log are: {'; '.join(lines[-3:]) or 'none'}"


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@claim("<number> keys of <user> are left")
async def keys_left(stage: Stage, number: int, user: str) -> str | None:
    """One-time packages that the user's node can still give out."""
    left = await stage.net.keys_left(stage.people[user].address)
    return None if left == number else f"{left} are left"


@claim("no key was given out twice")
async def no_key_twice(stage: Stage) -> str | None:
    """Of the one-time ones, by any node, so far."""
    twice = sum(times > 1 for times in stage.issued.values())
    return f"{twice} were" if twice else None


def _told(stage: Stage, user: str, text: str, step: AppStep, code: Code | None) -> str | None:
    written = stage.book.named(text)
    if written.sender != stage.people[user].address:
        return f"{user} has not written it"
    if any(told is step and (code is None or number == code.number) for told, number in written.told):
        return None
    return f"{user} was told: {_all(written)}"


def _last(written: Letter) -> str:
    return _all(written).rpartition(", ")[2]


def _all(written: Letter) -> str:
    return ", ".join(f"{state}{_because(number)}" for state, number in written.told) or "nothing"


def _because(number: int) -> str:
    code = code_of(number) if number else None
    return f" because {code.title}" if code else ""


def _some(texts: list[str]) -> str:
    if not texts:
        return "nothing"
    shown = ", ".join(f"“{text}”" for text in texts[-5:])
    return shown if len(texts) <= 5 else f"{len(texts):,} messages, the last {shown}"
