"""Privacy delete requests. Source: Attentive's privacy API.

The first check of a request finds it waiting and then processes it. Every later check finds it processed.
"""

from typing import Any

from app.sandbox.account import PrivacyRequest, Visit
from app.sandbox.answers import Answer, Refused, json_answer
from app.sandbox.ledger import Effect
from app.sandbox.people import Identifier
from app.sandbox.times import to_iso

SUBJECTS = {"subjectPhone": "phone", "subjectEmail": "email", "clientUserId": "clientUserId"}


def delete_request(visit: Visit) -> tuple[Answer, Effect]:
    """File a request to delete a person."""
    subject = {name: str(visit.body[name]) for name in SUBJECTS if name in visit.body}
    if not subject:
        # The one 400 whose body Attentive declares.
        error = json_answer(400, {"error": f"body: must have at least one of {', '.join(sorted(SUBJECTS))}"})
        return error, Effect()
    requests = visit.account.privacy_requests
    request = PrivacyRequest(
        f"privacy-{len(requests) + 1}", subject, str(visit.body.get("requestMsg", "")), requested_at=visit.now
    )
    requests[request.id] = request
    return json_answer(200, {"id": request.id}), Effect()


def request_status(visit: Visit) -> tuple[Answer, Effect]:
    """Show the progress of a request, with its subject masked."""
    request = visit.account.privacy_requests.get(visit.call.path.rpartition("/")[2])
    if request is None:
        raise Refused(404, "id: there is no such request")
    done = request.processed_at
    masked = {name: _masked(value) for name, value in request.subject.items() if name != "clientUserId"}
    body: dict[str, Any] = {
        "id": request.id,
        "processed": done is not None,
        "type": "DELETE",
        **masked,
        "requestMsg": request.message,
        "requestDateTime": to_iso(request.requested_at),
    }
    if done is not None:
        body |= {"processingStartDateTime": to_iso(done), "processingEndDateTime": to_iso(done)}
    else:
        _process(visit, request)
    return json_answer(200, body), Effect()


def _process(visit: Visit, request: PrivacyRequest) -> None:
    request.processed_at = visit.now
    for name, value in request.subject.items():
        person = visit.account.people.find(Identifier.of(SUBJECTS[name], value))
        if person is not None:
            visit.account.people.forget(person)


def _masked(value: str) -> str:
    name, at, domain = value.partition("@")
    return f"{name[:1]}***@{domain}" if at else f"***{value[-2:]}"
