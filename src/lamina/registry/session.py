"""Requests to one registry, wherever it is reached: endpoints in order, challenges answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from lamina.errors import LaminaError
from lamina.reference import Reference
from lamina.registry.answer import Answer
from lamina.registry.authentication import Authenticator
from lamina.registry.challenge import parse
from lamina.registry.endpoint import Endpoint, Origin, endpoints
from lamina.registry.errors import ConnectionFailed, RegistryError, ServerFailure, from_answer
from lamina.registry.http import Body
from lamina.registry.transport import Request, Transport, Unreachable
from lamina.typing import NamedTuple


class Call(NamedTuple):
    """One request to a repository.

    :ivar path: below ``/v2/<repository>/``.
    :ivar expected: statuses that are answers, not errors.
    :ivar missing: what a 404 means.
    :ivar writing: whether it changes the repository: then mirrors are left out and the token allows pushing.
    :ivar mount_from: a repository that is read besides.
    """

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: Body = None
    expected: tuple[int, ...] = (200,)
    missing: type[RegistryError] | None = None
    writing: bool = False
    mount_from: str = ""


class Session:
    """Sends calls. Thread-safe."""

    def __init__(self, transport: Transport, authenticator: Authenticator) -> None:
        self._transport = transport
        self._authenticator = authenticator
        self._lock = threading.Lock()
        self._preferred: dict[tuple[str, bool], Endpoint] = {}

    def call(
        self, reference: Reference, call: Call, *, wait: Callable[[float], object] | None = None
    ) -> tuple[Answer, Endpoint]:
        """Send ``call`` to the first endpoint that can serve it; the answer and who gave it.

        A mirror is passed over for whatever reason; the registry itself only when no connection to it comes about.

        :raises RegistryError: an answer that ``call`` does not expect.
        :raises ConnectionFailed: no endpoint answers.
        """
        places = self._places(reference.domain, call.writing)
        for number, endpoint in enumerate(places):
            last = number + 1 == len(places)
            try:
                answer = self._ask(endpoint, reference, call, patient=last, wait=wait)
                self._prefer(reference.domain, call.writing, endpoint)
                return answer, endpoint
            except LaminaError as error:
                if last or not (endpoint.mirror or isinstance(error, ConnectionFailed)):
                    raise
        raise AssertionError("unreachable: the last endpoint returns or raises")

    def _ask(
        self,
        endpoint: Endpoint,
        reference: Reference,
        call: Call,
        *,
        patient: bool,
        wait: Callable[[float], object] | None,
    ) -> Answer:
        url = f"{endpoint.url}/v2/{reference.path}/{call.path}"
        attempts = 0 if patient or self._transport.has_answered(endpoint.origin) else 1
        request = Request(call.method, url, call.headers, body=call.body, attempts=attempts)
        try:
            answer = self.send(endpoint, request, scopes(reference, call), wait=wait)
        except Unreachable as error:
            if error.origin != endpoint.origin:
                raise
            # Docker, which asks for this first, complains about it whatever is wanted.
            raise Unreachable(f'Get "{endpoint.url}/v2/"', error.reason, error.origin) from error
        return checked(answer, call.expected, call.missing)

    def send(
        self,
        endpoint: Endpoint,
        request: Request,
        wanted: Sequence[str],
        *,
        wait: Callable[[float], object] | None = None,
    ) -> Answer:
        """Send ``request``; when ``endpoint`` itself asks who is there, once more with the answer to that.

        Credentials go along only while the request stays at ``endpoint``.
        """
        at_home = Origin.of(request.url) == endpoint.origin
        sent = self._authenticator.cached(endpoint, wanted) if at_home else ""
        answer = self._transport.send(request._replace(authorization=sent), wait=wait)
        once = not (request.body is None or isinstance(request.body, bytes))
        if answer.status != 401 or not at_home or once:
            return answer
        try:
            authorization = self._authenticator.respond(endpoint, answer, wanted, sent)
        except BaseException:
            answer.close()
            raise
        if not authorization:
            return answer
        answer.close()
        return self._transport.send(request._replace(authorization=authorization), wait=wait)

    def _places(self, domain: str, writing: bool) -> list[Endpoint]:
        found = endpoints(domain, self._transport.settings, writing=writing)
        preferred = self._preferred.get((domain, writing)) or self._preferred.get((domain, True))
        if preferred in found and not preferred.mirror:
            # The registry has answered here before, so its other scheme is not tried; mirrors still come first.
            return [place for place in found if place.mirror or place == preferred]
        return found

    def _prefer(self, domain: str, writing: bool, endpoint: Endpoint) -> None:
        if not endpoint.mirror:
            with self._lock:
                self._preferred[(domain, writing)] = endpoint


def scopes(reference: Reference, call: Call) -> list[str]:
    """The scopes of a token that allows ``call`` (distribution's "Token Scope Documentation")."""
    wanted = [f"repository:{reference.path}:{'pull,push' if call.writing else 'pull'}"]
    if call.mount_from:
        wanted.append(f"repository:{call.mount_from}:pull")
    return wanted


def checked(answer: Answer, expected: tuple[int, ...], missing: type[RegistryError] | None = None) -> Answer:
    """``answer`` when its status is expected; else it is closed and raised as the error that it means."""
    if answer.status in expected:
        return answer
    try:
        if 200 <= answer.status < 400:
            raise ServerFailure("UNKNOWN", f"unexpected status {answer.status} from {answer.what}", answer.status)
        error = from_answer(answer.status, answer.read_error(), answer.what, missing=missing)
        bearer = next((c for c in parse(answer.headers("WWW-Authenticate")) if c.scheme == "bearer"), None)
        if answer.status == 401 and bearer is not None and bearer.parameters.get("error") == "insufficient_scope":
            raise from_answer(403, b"", answer.what)
        raise error
    finally:
        answer.close()
