"""The modelled API itself, without HTTP: its state, and how it answers a call."""

import random
from dataclasses import dataclass
from typing import Any

import orjson

from app.sandbox.account import Account, Visit
from app.sandbox.answers import Answer, Refused, error_answer, retry_after
from app.sandbox.bodies import Misfit, check_body
from app.sandbox.call import Call
from app.sandbox.config import SandboxConfig
from app.sandbox.endpoints import DEFAULT_CALLS_PER_SECOND, Endpoint, methods_at
from app.sandbox.faults import Faults
from app.sandbox.keys import ApiKey, Keyring
from app.sandbox.ledger import Ledger
from app.sandbox.limits import UNLIMITED, Allowance, Limits
from app.sandbox.operations import SERVED
from app.sandbox.people import People
from app.sandbox.repeats import Repeats
from app.sandbox.times import Clock

NO_SUCH_PATH = "(no such path)"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call as received: its endpoint, its key and its rate limit, not yet checked."""

    call: Call
    endpoint: Endpoint | Refused  # Refused: 404 or 405
    key: ApiKey | str  # str: why there is no valid key
    allowance: Allowance

    @property
    def key_name(self) -> str | None:
        """Name of the valid key. None if there is none."""
        return None if isinstance(self.key, str) else self.key.name

    @property
    def known_endpoint(self) -> Endpoint | None:
        """The endpoint, if the path and method have one."""
        return None if isinstance(self.endpoint, Refused) else self.endpoint

    @property
    def counted_path(self) -> str:
        """The path under which the summary counts the call."""
        return NO_SUCH_PATH if isinstance(self.endpoint, Refused) else self.endpoint.path


class World:
    """One sandbox: its switches, its accounts, its ledger."""

    def __init__(self, config: SandboxConfig, clock: Clock) -> None:
        """Start with an empty world; `config` is also what a reset returns to."""
        self._first_config = config
        self.clock = clock
        self.config = config
        self.reset()

    def reset(self, *, keep_config: bool = False) -> None:
        """Remove calls, people, limits, faults and the clock's shift, and switches and keys unless they are kept."""
        self.clock.ahead_s = 0.0
        if not keep_config:
            self.config = self._first_config
            self.keys = Keyring(self.config.keys)
        most = self.config.ledger_max
        self.rand = random.Random(self.config.seed)  # noqa: S311  # repeatable on purpose
        self.limits = Limits()
        self.faults = Faults(self.config.seed)
        self.ledger = Ledger(most, summary_only=self.config.summary_only)
        self.repeats = Repeats(most)
        self.accounts: dict[str, Account] = {}

    def change(self, config: SandboxConfig) -> None:
        """Use these switches from the next call on."""
        self.config = config
        self.ledger.resize(config.ledger_max, summary_only=config.summary_only)

    def account(self, company: str) -> Account:
        """The account of this company, created on first use."""
        account = self.accounts.get(company)
        if account is None:
            account = self.accounts[company] = Account(People(self.config.ledger_max))
        return account

    def admit(self, call: Call) -> Arrival:
        """Receive a call, and count it against its rate limit."""
        key = self.keys.of_header(call.authorization)
        methods = methods_at(call.path)
        if methods is None:
            return self._astray(call, key, Refused(404, f"there is no {call.path}"))
        endpoint = methods.get(call.method)
        if endpoint is None:
            allow = ", ".join(sorted(methods))
            refused = Refused(405, f"{call.path} does not take {call.method}", (b"allow", allow.encode()))
            return self._astray(call, key, refused)
        config = self.config
        limit = config.limit_of(endpoint)
        if isinstance(key, str):
            return Arrival(call, endpoint, key, _untouched(limit))
        fixed = config.limit_window == "fixed"
        allowance = self.limits.arrive(key.name, endpoint.label, limit, call.arrived_at, fixed=fixed)
        return Arrival(call, endpoint, key, allowance)

    def process(self, arrival: Arrival) -> Answer:
        """Check a call, apply it, and record it."""
        call = arrival.call
        try:
            if isinstance(arrival.endpoint, Refused):
                raise arrival.endpoint
            return self._serve(arrival, arrival.endpoint)
        except Misfit as misfit:
            refused = Refused(400, str(misfit))
        except Refused as caught:
            refused = caught
        message = refused.message
        self.ledger.refuse(
            now=call.arrived_at,
            key=arrival.key_name,
            method=call.method,
            path=call.path,
            status=refused.status,
            message=message,
        )
        if self.config.echo_person and call.identifiers:
            message += f" (user: {call.identifiers[0].value})"
        answer = error_answer(refused.status, message, self.config, error_id=int(call.arrived_at * 1000))
        return answer.with_headers(*refused.headers) if refused.headers else answer

    def _astray(self, call: Call, key: ApiKey | str, refused: Refused) -> Arrival:
        limit = DEFAULT_CALLS_PER_SECOND if self.config.limits_enabled else None
        return Arrival(call, refused, key, _untouched(limit))

    def _serve(self, arrival: Arrival, endpoint: Endpoint) -> Answer:
        call, key, operation = arrival.call, arrival.key, SERVED[endpoint.name]
        body: dict[str, Any] = {}
        for step in self.config.checks:
            if step == "auth":
                if isinstance(key, str):
                    raise Refused(401, key)
            elif step == "scope":
                if not isinstance(key, str) and not endpoint.scopes <= key.scopes:
                    raise Refused(403, f"the key lacks the scope {min(endpoint.scopes - key.scopes)}")
            elif step == "rate":
                if not arrival.allowance.allowed:
                    message = f"rate limit exceeded: {arrival.allowance.limit} calls per second"
                    raise Refused(429, message, *retry_after(self.config, call.arrived_at))
            else:
                body = _read_body(call, endpoint, self.config)
        if isinstance(key, str):
            raise Refused(401, key)

        visit = Visit(call, body, key, self.account(key.company), self.config, self.repeats)
        answer, effect = operation(visit)
        if answer.status < 400 and endpoint.scopes:  # a question about the key is about no person
            self.ledger.record(
                now=call.arrived_at,
                key=key.name,
                method=call.method,
                path=call.path,
                query_string=call.query_string,
                status=answer.status,
                body=call.body,
                effect=effect,
            )
        return answer


def _untouched(limit: int | None) -> Allowance:
    shown = UNLIMITED if limit is None else limit
    return Allowance(allowed=True, limit=shown, remaining=shown)


def _read_body(call: Call, endpoint: Endpoint, config: SandboxConfig) -> dict[str, Any]:
    if endpoint.method == "GET":
        return {}
    if call.content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise Refused(415, "Content-Type must be application/json")
    try:
        body = orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"body: is not JSON: {error}") from error
    check_body(endpoint.path, body, config)
    checked: dict[str, Any] = body
    return checked
