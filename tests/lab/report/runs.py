"""Timelines like those of real runs, from a seed: hours of a hundred nodes, minutes of five, a benchmark."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from math import pi, sin

from waypost_lab.timeline import (
    AnyEvent,
    End,
    Fault,
    Flow,
    Latency,
    LinkState,
    Mended,
    NodeState,
    Note,
    Queue,
    Run,
    Step,
)

KINDS = ("crash", "cut", "cut-one-way", "slow", "loss", "disk-full", "skew", "slow-disk")


def storm(nodes: int = 100, hours: float = 24, seed: int = 7, *, broken: bool = False) -> list[AnyEvent]:
    """Too large for single messages: flows, percentiles, queues, and hundreds of faults."""
    rng = random.Random(seed)
    names = tuple(f"n{n:03d}.local" for n in range(nodes))
    end = hours * 3600
    events: list[AnyEvent] = []
    peers = {name: rng.sample([other for other in names if other != name], min(12, nodes - 1)) for name in names}
    events += [LinkState(t=1.0, a=name, b=other, up=True) for name in names for other in peers[name] if name < other]
    away: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(int(hours * 18)):
        start, kind = rng.uniform(0, end * 0.92), rng.choice(KINDS)
        stop = min(end * 0.96, start + rng.expovariate(1 / (900 if kind != "cut" else 2400)))
        hit = rng.choice(names)
        both = (hit, rng.choice(peers[hit])) if kind in ("cut", "cut-one-way", "slow", "loss") else (hit,)
        events += [Fault(t=start, id=number, name=kind, nodes=both, detail="from the seed"), Mended(t=stop, id=number)]
        if kind == "crash":
            away[hit].append((start, stop))
            events += [NodeState(t=start, node=hit, state="down"), NodeState(t=stop, node=hit, state="up")]
        if kind == "crash" or (kind == "cut" and rng.random() < 0.5):
            for other in peers[hit] if kind == "crash" else both[1:]:
                events += [LinkState(t=start, a=hit, b=other, up=False), LinkState(t=stop + 2, a=hit, b=other, up=True)]
    totals = _minutes(names, away, end, rng, events)
    if broken:
        events.append(Note(t=end / 2, text="message 5f0c… was shown twice to alice@n004.local", level="error"))
    violations = 1 if broken else 0
    result = {
        **totals,
        "lost": 0,
        "duplicates": violations,
        "violations": violations,
        "digest": "9f2c51e0",
        "wall_s": 184.2,
    }
    last = End(t=end, result=result)
    head = Run(title=f"{nodes} nodes, {hours:g} hours, storm", source="simulate", nodes=names, seed=seed)
    return [head, *sorted(events, key=lambda event: event.t), last]


def _minutes(
    names: tuple[str, ...],
    away: dict[str, list[tuple[float, float]]],
    end: float,
    rng: random.Random,
    events: list[AnyEvent],
) -> dict[str, int]:
    """What each minute accepts and delivers when some nodes are away, and drains when they are back."""
    waiting: dict[str, int] = defaultdict(int)
    totals = {"accepted": 0, "delivered": 0, "bounced": 0, "expired": 0}
    for minute in range(1, int(end // 60) + 1):
        t = minute * 60.0
        rate = 3 * (1 + 0.6 * sin(2 * pi * (t / 86_400 - 0.3))) if t < end * 0.97 else 0.0
        accepted = delivered = late = bounced = 0
        for name in names:
            new = int(rng.expovariate(1 / (rate + 1e-9)) + 0.5) if rate else 0
            accepted += new
            if any(start <= t < stop for start, stop in away[name]):
                waiting[name] += new
                events.append(Queue(t=t, node=rng.choice(names), peer=name, items=0))
                events.append(Queue(t=t, node=names[0], peer=name, items=waiting[name]))
                continue
            drained = min(waiting[name], 40)
            if drained:
                waiting[name] -= drained
                late += drained
                events.append(Queue(t=t, node=names[0], peer=name, items=waiting[name]))
            lost_users = sum(rng.random() < 0.001 for _ in range(new))
            bounced += lost_users
            delivered += new + drained - lost_users
        counts = {"accepted": accepted, "delivered": delivered, "bounced": bounced, "expired": 0}
        for step, count in counts.items():
            totals[step] += count
        events.append(Flow(t=t, every_s=60, **counts))
        if delivered:
            p50, share = rng.uniform(60, 90), late / delivered
            p90 = p50 * 3 if share < 0.1 else 600_000 * rng.uniform(0.3, 1)
            p99 = max(p90, p50 * 9 if share < 0.01 else 1_200_000 * rng.uniform(0.4, 1.2))
            most = max(p99, 2_000 + 3_000_000 * share * rng.random())
            events.append(Latency(t=t, every_s=60, count=delivered, p50_ms=p50, p90_ms=p90, p99_ms=p99, max_ms=most))
    return totals


def chaos(seconds: float = 600, rate: float = 20, seed: int = 3) -> list[AnyEvent]:
    """Five real nodes; every message, every queue, some twenty faults that overlap, one node that leaves."""
    rng = random.Random(seed)
    names = ("birdy.local", "finch.local", "heron.local", "raven.local", "swift.local")
    events: list[AnyEvent] = [LinkState(t=0.4, a=a, b=b, up=True) for n, a in enumerate(names) for b in names[n + 1 :]]
    away: list[tuple[float, float, str]] = []
    for number in range(18):
        start = 20 + (seconds * 0.85 - 20) * number / 18 + rng.uniform(0, 12)
        kind = rng.choice(("kill", "stop", "cut", "cut-one-way", "disk-full"))
        stop = start + (rng.uniform(1, 4) if kind == "kill" else rng.uniform(10, 60))
        hit = rng.sample(names, 2)
        nodes = tuple(hit) if kind.startswith("cut") else (hit[0],)
        events += [Fault(t=start, id=number, name=kind, nodes=nodes, detail="under load"), Mended(t=stop, id=number)]
        away.append((start, stop, hit[0]))
        if kind in ("kill", "stop"):
            events += [NodeState(t=start, node=hit[0], state="down"), NodeState(t=stop, node=hit[0], state="up")]
            for other in names:
                if other != hit[0]:
                    events += [
                        LinkState(t=start + 0.1, a=hit[0], b=other, up=False),
                        LinkState(t=stop + 0.8, a=hit[0], b=other, up=True),
                    ]
    bounced = _messages((seconds, rate), names, away, rng, events)
    events.append(Note(t=seconds * 0.9, text="no more faults; the queues drain"))
    sent = sum(isinstance(event, Step) and event.step == "accepted" for event in events)
    result = {
        "accepted": sent, "delivered": sent - bounced, "bounced": bounced, "expired": 0, "lost": 0, "duplicates": 0,
        "kills": 7, "put_off": 113, "holds": True,
    }  # fmt: skip
    head = Run(title="chaos --nodes 5", source="chaos", nodes=names, seed=seed, started_ms=1_790_000_000_000)
    return [head, *sorted(events, key=lambda event: event.t), End(t=seconds, result=result)]


def _messages(
    load: tuple[float, float],
    names: tuple[str, ...],
    away: list[tuple[float, float, str]],
    rng: random.Random,
    events: list[AnyEvent],
) -> int:
    """Every step of every message, and the queues that follow from it. Returns how many bounced."""
    seconds, rate = load
    bounced, moves = 0, []
    for number in range(int(seconds * 0.9 * rate)):
        t = number / rate
        source, goal = rng.sample(names, 2)
        id_, who = f"{number:032x}", (f"u{number % 7}@{source}", f"v{number % 5}@{goal}")
        until = max((stop for start, stop, node in away if node == goal and start <= t < stop), default=0.0)
        arrival = t + rng.lognormvariate(-5, 0.5) if not until else until + rng.uniform(0.3, 4)
        arrival = min(arrival, seconds - 0.5)
        bounce = rng.random() < 0.002
        bounced += bounce
        events += [
            Step(t=t, id=id_, step="sent", sender=who[0], recipient=who[1]),
            Step(t=t + 0.002, id=id_, step="accepted", sender=who[0], recipient=who[1]),
            Step(t=arrival, id=id_, step="bounced" if bounce else "delivered", sender=who[0], recipient=who[1]),
        ]
        if until:
            moves += [(t, source, goal, 1), (arrival, source, goal, -1)]
    depth: dict[tuple[str, str], int] = defaultdict(int)
    for t, source, goal, change in sorted(moves):
        depth[source, goal] += change
        events.append(Queue(t=t, node=source, peer=goal, items=depth[source, goal]))
    return bounced


def bench(seed: int = 1) -> list[AnyEvent]:
    """As fast as it goes, then fifty a second: throughput and latency, no faults."""
    rng, every = random.Random(seed), 0.25
    events: list[AnyEvent] = [
        Run(title="bench forward", source="bench", nodes=("birdy.local", "finch.local"), started_ms=1_790_000_000_000),
        Note(t=0.0, text="as fast as it goes, 2,048 messages on their way"),
    ]
    for n in range(1, 33):
        done = int(24_000 * every * rng.uniform(0.9, 1.05)) if n > 1 else 3_000
        p50 = rng.uniform(55, 63)
        events.append(Flow(t=n * every, every_s=every, accepted=done, delivered=done))
        events.append(
            Latency(t=n * every, every_s=every, count=done, p50_ms=p50, p90_ms=p50 * 1.5, p99_ms=98, max_ms=130)
        )
    events.append(Note(t=9.0, text="50 a second"))
    for n in range(37, 37 + 80):
        p50 = rng.uniform(3.3, 4.1)
        events.append(Flow(t=n * every, every_s=every, accepted=12, delivered=12))
        events.append(
            Latency(t=n * every, every_s=every, count=12, p50_ms=p50, p90_ms=p50 * 1.2, p99_ms=5.5, max_ms=6.4)
        )
    result = {
        "messages_per_s": 24200,
        "p50_ms": 3.7,
        "lost": 0,
        "duplicates": 0,
        "cpu_s_per_1000_by_process": {"cpu a": 0.02},
    }
    return [*events, End(t=29.5, result=result)]


def million(events: int) -> Iterator[AnyEvent]:
    """So many steps and queues between forty nodes, in no more memory than one of them."""
    names = tuple(f"n{n:02d}.local" for n in range(40))
    yield Run(title="many", source="lab", nodes=names, seed=1)
    for n in range(events // 4):
        t, a, b = n / 50, names[n % 40], names[(n * 7 + 1) % 40]
        id_, who = f"{n:032x}", (f"u@{a}", f"v@{b}")
        yield Step(t=t, id=id_, step="sent", sender=who[0], recipient=who[1])
        yield Step(t=t + 0.001, id=id_, step="accepted", sender=who[0], recipient=who[1])
        yield Step(t=t + 0.05 + n % 100 / 500, id=id_, step="delivered", sender=who[0], recipient=who[1])
        yield Queue(t=t, node=a, peer=b, items=n % 300)
