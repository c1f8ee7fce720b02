"""Operations on the key directory, and questions about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import User
from waypost.limits import IDEMPOTENCE_LIFETIME_MS, PACKAGES_PER_DEVICE_MAX, SUITES_PER_CLAIM_MAX
from waypost.protocol.directory.package import PackageState
from waypost.storage.memory.state import GivenAnswer, MemoryState
from waypost.storage.operations import keys as ops
from waypost.storage.operations.keys import Issued


def write(state: MemoryState, operation: ops.KeysOperation) -> Any:
    """Its answer."""
    match operation:
        case ops.AddPackages():
            return _add_packages(state, operation)
        case ops.IssuePackages(user, suites, at_ms):
            return issue_packages(state, user, suites, at_ms)
        case ops.RememberAnswer(request, digest, given, at_ms):
            state.answers.setdefault(request, GivenAnswer(at_ms, digest, given))
            return None
        case _:
            assert_never(operation)


def answer(state: MemoryState, question: ops.KeysQuestion) -> Any:
    """See the question."""
    match question:
        case ops.AnswerTo(request, digest):
            return _answer_to(state, request, digest)
        case ops.PackagesLeft(device, at_ms):
            return state.keys[device].left(at_ms) if device in state.keys else 0
        case _:
            assert_never(question)


def _add_packages(state: MemoryState, operation: ops.AddPackages) -> int:
    device, at_ms, last_resort = operation.device, operation.at_ms, operation.last_resort
    if device not in state.devices:
        raise Refused(Code.FORBIDDEN, "no such device")
    request = device + operation.upload
    keys, contents = state.keys[device], (tuple(operation.packages), last_resort)
    if _answer_to(state, request, contents) is not None:
        return keys.left(at_ms)
    new = [package for package in operation.packages if package.expires_ms > at_ms]
    uploaded = [*operation.packages, *([last_resort] if last_resort else [])]
    named = list(dict.fromkeys(package.suite for package in uploaded))
    if keys.left(at_ms) + len(new) > PACKAGES_PER_DEVICE_MAX or len(named) > SUITES_PER_CLAIM_MAX:
        raise Refused(Code.QUOTA)
    state.need_room(sum(len(package.data) for package in new))
    keys.expire(at_ms)
    suites = list(dict.fromkeys([*named, *keys.suites]))
    keys.suites = suites[:SUITES_PER_CLAIM_MAX]
    keys.forget(suites[SUITES_PER_CLAIM_MAX:])
    keys.one_time += new
    if last_resort and last_resort.expires_ms > at_ms:
        keys.last_resort[last_resort.suite] = last_resort
    expires_ms = max((package.expires_ms for package in new), default=0)
    state.answers[request] = GivenAnswer(at_ms, contents, b"", expires_ms)
    return keys.left(at_ms)


def issue_packages(state: MemoryState, user: User, suites: Sequence[str], at_ms: WallMs) -> list[Issued]:
    """`IssuePackages`."""
    own = sorted((device.joined_ms, device.key) for device in state.devices.values() if device.user == user)
    return [_issue(state, key, suites, at_ms) for _, key in own]


def _issue(state: MemoryState, device: bytes, suites: Sequence[str], at_ms: WallMs) -> Issued:
    keys = state.keys[device]
    for suite in suites:
        for index, package in enumerate(keys.one_time):
            if package.suite == suite and package.expires_ms > at_ms:
                del keys.one_time[index]
                return Issued(device, PackageState.ONE_TIME, package.data, keys.left(at_ms))
        last_resort = keys.last_resort.get(suite)
        if last_resort and last_resort.expires_ms > at_ms:
            return Issued(device, PackageState.LAST_RESORT, last_resort.data, keys.left(at_ms))
    fits = not keys.suites or not set(suites).isdisjoint(keys.suites)
    state_ = PackageState.EXHAUSTED if fits else PackageState.INCOMPATIBLE
    return Issued(device, state_, b"", keys.left(at_ms))


def _answer_to(state: MemoryState, request: bytes, contents: object) -> bytes | None:
    known = state.answers.get(request)
    if known is None:
        return None
    if known.contents != contents:
        raise Refused(Code.CONFLICT)
    return known.answer


def prune(state: MemoryState, now_ms: WallMs) -> None:
    """The part of `Prune` that is about packages, invites and answers."""
    for keys in state.keys.values():
        keys.expire(now_ms)
    state.invites = {token: invite for token, invite in state.invites.items() if invite[1] > now_ms}
    oldest = now_ms - IDEMPOTENCE_LIFETIME_MS
    state.answers = {r: a for r, a in state.answers.items() if a.at_ms > oldest or a.expires_ms > now_ms}
