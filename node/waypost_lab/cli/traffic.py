"""`waypost lab traffic`: messages between random users, each accounted for."""

from __future__ import annotations

from typing import Annotated, Any

import trio
import typer

from waypost.cli.options import Json
from waypost.cli.outcome import Exit, print_json
from waypost.cli.words import line
from waypost.errors import Code, LocalError
from waypost_lab.box.home import Home, load_users, using_users
from waypost_lab.box.plan import PlannedTraffic, load
from waypost_lab.box.traffic import account, crowd, whereabouts
from waypost_lab.cli.asking import Directory, home_of, value
from waypost_lab.ways import parse_duration

_CONNECT_S = 60.0


def traffic(
    rate: Annotated[
        float | None, typer.Option("--rate", help="Messages a second, all users together; 20 unless lab.toml says.")
    ] = None,
    span: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, such as 60s; 30s unless lab.toml says.")
    ] = None,
    settle: Annotated[
        str, typer.Option("--settle", metavar="TIME", help="Wait so long for what is on its way at the end.")
    ] = "20s",
    seed: Annotated[int, typer.Option("--seed", help="Decides who writes to whom.")] = 1,
    directory: Directory = None,
    json: Json = False,
) -> None:
    """Let random users of a running lab write to each other, and account for every message.

    Exit code 1 if a promise is broken: a message was lost, shown twice, altered, or reported to have failed although
    it was shown. What waits because a node is down or a link is cut is counted, with the reason, and breaks none.
    """
    home = home_of(directory)
    if not home.runs:
        raise LocalError(Code.NO_LAB, str(home.path))
    planned = load(home.plan).traffic
    seconds = value(parse_duration, span) if span else planned.seconds
    settle_s = value(parse_duration, settle)
    if rate is not None and not 0 < rate <= 100_000:
        raise LocalError(Code.BAD_REQUEST, f"rate {rate:g}: write a number above 0, up to 100000")
    wanted = PlannedTraffic(rate or planned.rate, seconds)
    facts = trio.run(_run, home, wanted, settle_s, seed, json)
    if json:
        print_json(facts)
    else:
        _show(facts)
    if not facts["good"]:
        raise typer.Exit(Exit.FAILED)


async def _run(home: Home, wanted: Any, settle_s: float, seed: int, quiet: bool) -> dict[str, Any]:
    accounts = load_users(home)
    if len(accounts) < 2:
        raise LocalError(Code.BAD_REQUEST, f"the lab has {len(accounts)} users; traffic needs two (lab up --users)")
    with using_users(home):
        async with crowd(accounts, seed) as people:
            online = await people.connected(_CONNECT_S)
            if not quiet:
                line(f"{online} of {len(accounts)} users online; {wanted.rate:g} messages/s for {wanted.seconds:g} s …")
            with trio.move_on_after(wanted.seconds):
                await people.write(wanted.rate)
            await people.settled(settle_s)
            waits = await trio.to_thread.run_sync(whereabouts, home, people.book)
    return {
        "seed": seed,
        "rate": wanted.rate,
        "seconds": wanted.seconds,
        "users": online,
        **account(people.book, waits),
    }


def _show(facts: dict[str, Any]) -> None:
    for name in ("written", "accepted", "delivered", "bounced", "waiting", "lost", "duplicates", "refused", "unsent"):
        line(f"{name:12}{facts[name]:8}")
    for title in ("bounces", "refusals", "waits", "put_off_for"):
        for reason, count in facts[title].items():
            line(f"{title.replace('_', ' ')}: {count} × {reason}")
    line(
        "ms from writing to reading: "
        + ", ".join(f"{name} {facts[f'{name}_ms']}" for name in ("p50", "p90", "p99", "max"))
    )
    line("Every message is accounted for." if facts["good"] else "A PROMISE IS BROKEN.")
