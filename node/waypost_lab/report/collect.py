"""The second reading of a timeline: events into what is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from waypost_lab.report import model
from waypost_lab.report.grid import Level, Tally
from waypost_lab.report.model import Figure, LinkSummary, Node, Picture, QueueLine, Said
from waypost_lab.report.states import Links, Nodes
from waypost_lab.report.survey import Survey
from waypost_lab.report.traffic import Traffic
from waypost_lab.report.trouble import Trouble
from waypost_lab.report.waiting import Waiting
from waypost_lab.report.words import count, short
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

_RESULTS = 60  #: figures of the run's own that are shown
_COUNTED = ("accepted", "delivered", "bounced", "expired")
_PROMISED = ("lost", "duplicates", "violations")  #: which should be 0


def collect(events: Iterable[AnyEvent], survey: Survey) -> Picture:
    """The same events that were surveyed, from the beginning."""
    collector = _Collector(survey)
    for event in events:
        collector.note(event)
    return collector.picture()


class _Collector:
    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        grid = survey.grid
        self._traffic = Traffic(survey)
        self._trouble = Trouble(grid)
        self._nodes = Nodes(survey.run.nodes, grid)
        self._links = Links(grid)
        self._queues = _Queues(survey)
        self._notes = _Notes()
        self._result: dict[str, Any] = {}

    def note(self, event: AnyEvent) -> None:
        match event:
            case Step():
                self._traffic.note_step(event)
            case Queue():
                self._queues.note(event)
            case LinkState():
                self._links.note(event)
            case Flow():
                self._traffic.note_flow(event)
            case Latency():
                self._traffic.note_latency(event)
            case Fault():
                self._trouble.begin(event)
            case Mended():
                self._trouble.mend(event)
            case NodeState():
                self._nodes.note(event)
            case Note():
                self._notes.add(event.t, event.text, error=event.level == "error")
            case End():
                self._result = event.result
            case Run():
                pass

    def picture(self) -> Picture:
        run, survey, traffic = self._survey.run, self._survey, self._traffic
        overall, bins = traffic.overall()
        queues, rest = self._queues.lines()
        down = self._nodes.finish()
        self._note_violations()
        nodes = self._node_rows()
        return Picture(
            title=short(run.title, 200),
            source=short(run.source, 40),
            seed=run.seed,
            started_ms=run.started_ms,
            ended=survey.ended,
            events=survey.events,
            grid=survey.grid,
            figures=self._figures(),
            result=_others(self._result),
            flows=traffic.flows(),
            custody=traffic.custody(),
            queues=queues,
            rest=rest,
            latency=traffic.latency(),
            overall=overall,
            distribution=bins,
            faults=self._trouble.finish(),
            down=down,
            links=self._link_rows({node.name for node in nodes}),
            nodes=nodes,
            node_count=len(self._nodes.state),
            notes=self._notes.chosen(),
            unheard=self._notes.unheard,
            steps=survey.steps > 0,
        )

    def _figures(self) -> tuple[Figure, ...]:
        """What the run itself has counted; where it has not, what the events say."""
        found = []
        seen = self._survey.steps or self._survey.flows
        for name in _COUNTED:
            value = _quantity(self._result.get(name))
            if value is None and seen:
                value = float(self._traffic.totals[name])
            if value is not None:
                found.append(Figure(name, value))
        for name in _PROMISED:
            value = _quantity(self._result.get(name))
            if value is not None:
                found.append(Figure(name, value, bad=value > 0))
        return tuple(found)

    def _note_violations(self) -> None:
        """Those in the result: texts, or objects with `promise`, `text` and perhaps `at_s`; once, if noted before."""
        violations = self._result.get("violations")
        end = self._survey.grid.end_s
        for each in violations if isinstance(violations, list) else ():
            if isinstance(each, dict):
                at_s, text = _quantity(each.get("at_s")), f"{each.get('promise', '')}: {each.get('text', '')}"
                self._notes.add_error(end if at_s is None else at_s, text)
            else:
                self._notes.add_error(end, str(each))

    def _node_rows(self) -> tuple[Node, ...]:
        names = list(self._nodes.state)[: model.NODES]
        traffic, faults = self._traffic, self._trouble.by_node
        return tuple(
            Node(
                name=name,
                state=self._nodes.state[name],
                downs=self._nodes.downs[name],
                down_s=self._nodes.down_s[name],
                faults=faults[name],
                sent=traffic.sent[name],
                received=traffic.received[name],
                waiting=self._queues.most_at[name],
            )
            for name in names
        )

    def _link_rows(self, drawn: set[str]) -> tuple[LinkSummary, ...]:
        """Between nodes that are drawn; the busiest and those that failed most, if they are too many."""
        between, links = self._traffic.between, self._links
        pairs = [pair for pair in {**dict.fromkeys(links.pairs()), **dict.fromkeys(between)} if drawn.issuperset(pair)]
        rows = [LinkSummary(*pair, links.fate(pair), links.drops[pair], between[pair]) for pair in pairs]
        rows.sort(key=lambda link: (-link.drops, -link.messages, link.a, link.b))
        return tuple(rows[: model.LINKS])


class _Queues:
    """Lines of the longest queues, and of all others together."""

    def __init__(self, survey: Survey) -> None:
        self._waiting = Waiting()
        self._lines = {peer: Level(survey.grid) for peer in survey.longest}
        self._rest = Level(survey.grid)
        self.most_at: Tally[str] = Tally()

    def note(self, event: Queue) -> None:
        self._waiting.note(event)
        waiting = self._waiting
        self.most_at.add(event.node, max(0, waiting.by_node.get(event.node, 0) - self.most_at[event.node]))
        line = self._lines.get(event.peer)
        if line is not None:
            line.set(event.t, waiting.by_peer.get(event.peer, 0))
        else:
            self._rest.set(event.t, waiting.total - sum(level.now for level in self._lines.values()))

    def lines(self) -> tuple[tuple[QueueLine, ...], QueueLine | None]:
        drawn = tuple(_line(peer, level) for peer, level in self._lines.items())
        rest = _line("all others", self._rest)
        return drawn, rest if rest.peak else None


def _line(peer: str, level: Level) -> QueueLine:
    values = level.values()
    return QueueLine(peer, max(values), values)


class _Notes:
    """Errors go before others when there are too many."""

    def __init__(self) -> None:
        self._errors: list[Said] = []
        self._others: list[Said] = []
        self._added = 0

    def add(self, t: float, text: str, *, error: bool) -> None:
        self._added += 1
        into = self._errors if error else self._others
        if len(into) < model.LISTED:
            into.append(Said(t, short(text, model.WORDS), error))

    def add_error(self, t: float, text: str) -> None:
        """Unless it is there already."""
        if all(said.text != short(text, model.WORDS) for said in self._errors):
            self.add(t, text, error=True)

    def chosen(self) -> tuple[Said, ...]:
        return tuple((self._errors + self._others)[: model.LISTED])

    @property
    def unheard(self) -> int:
        return self._added - len(self.chosen())


def _quantity(value: Any) -> float | None:
    """A number, or the length of a list."""
    if isinstance(value, list):
        return float(len(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(max(value, -(10**15)), 10**15))


def _others(result: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Figures of the run's own, beside the headlines; those inside an object with its name before theirs."""
    flat: list[tuple[str, str]] = []
    for name, value in result.items():
        inner = {f"{name} {key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        flat += [
            (short(key.replace("_", " "), 60), _said(each))
            for key, each in inner.items()
            if key not in (*_COUNTED, *_PROMISED) and not isinstance(each, dict | list) and each is not None
        ]
    return tuple(flat[:_RESULTS])


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return count(value) if abs(value) < 10**15 else f"{value:.3g}"
    return short(str(value), 80)
