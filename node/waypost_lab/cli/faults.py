"""`waypost lab kill`, `stop`, `start`, `cut`, `slow`, `loss` and `heal`: what is done to a running lab."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.options import Json
from waypost_lab.cli.asking import Directory, OneWay, tell, value
from waypost_lab.faults import words
from waypost_lab.ways import parse_latency, parse_share

Node = Annotated[str, typer.Argument(metavar="NODE", help="A node, with or without .local.")]
A = Annotated[str, typer.Argument(metavar="A", help="A node, with or without .local.")]
B = Annotated[str, typer.Argument(metavar="B", help="Another one.")]
Latency = Annotated[str, typer.Argument(metavar="TIME", help="Such as 200ms or 1.5s, for each direction.")]
Share = Annotated[str, typer.Argument(metavar="SHARE", help="Of packets, such as 5%.")]


def kill(node: Node, directory: Directory = None, json: Json = False) -> None:
    """End a node as a crash would (kill -9)."""
    tell(directory, words.Kill(node), json=json)


def stop(node: Node, directory: Directory = None, json: Json = False) -> None:
    """Stop a node in good order."""
    tell(directory, words.Stop(node), json=json)


def start(node: Node, directory: Directory = None, json: Json = False) -> None:
    """Start a node that was stopped, was killed or has died."""
    tell(directory, words.Start(node), json=json)


def cut(a: A, b: B, one_way: OneWay = False, directory: Directory = None, json: Json = False) -> None:
    """Let nothing pass between two nodes: what they say is held, and what they dial does not answer."""
    tell(directory, words.Cut(a, b, one_way), json=json)


def slow(
    a: A,
    b: B,
    latency: Latency,
    jitter: Annotated[str, typer.Option("--jitter", metavar="TIME", help="Up to so much more, at random.")] = "",
    one_way: OneWay = False,
    directory: Directory = None,
    json: Json = False,
) -> None:
    """Make everything between two nodes take so long, in each direction. 0ms takes it back."""
    jitter_s = value(parse_latency, jitter) if jitter else 0.0
    tell(directory, words.Slow(a, b, value(parse_latency, latency), jitter_s, one_way), json=json)


def loss(a: A, b: B, share: Share, one_way: OneWay = False, directory: Directory = None, json: Json = False) -> None:
    """Lose this share of the packets between two nodes. 0% takes it back."""
    tell(directory, words.Loss(a, b, value(parse_share, share), one_way), json=json)


def heal(
    a: Annotated[str, typer.Argument(metavar="[A", help="A node; without any, all links are healed.")] = "",
    b: Annotated[str, typer.Argument(metavar="B]", help="Another one.")] = "",
    directory: Directory = None,
    json: Json = False,
) -> None:
    """Take back what cut, slow and loss have done, between two nodes or everywhere."""
    tell(directory, words.Heal(a, b), json=json)
