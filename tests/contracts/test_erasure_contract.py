"""Erasures at Attentive: the calls keep the contracts, and each identifies the person by a real identifier."""

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from app.attentive.endpoints import PRIVACY_DELETE, UNSUBSCRIBE
from app.erasure.subject import Subject
from tests.builders import EMAIL, PHONE
from tests.contracts.attentive_contract import Contract, vendor_folder
from tests.generated import examples

FOLDER: Final = vendor_folder()
CONTRACTS: Final = [Contract.ours(), *([Contract.vendor(FOLDER)] if FOLDER else [])]
LONG: Final = "x" * 101
IDS: Final = st.text(min_size=1, max_size=120).filter(str.strip) | st.sampled_from(
    [LONG, f"{LONG}@example.com", "Ada@Example.com ", "ada@corp", "+14155550132", "+1234567", "(415) 555-0132", "42"]
)
SUBJECTS: Final = st.builds(
    Subject.of,
    emails=st.lists(st.sampled_from([EMAIL, "b@example.com"])),
    phones=st.lists(st.sampled_from([PHONE, "+442071838750"])),
    user_ids=st.lists(IDS, max_size=3),
    anonymous_ids=st.lists(st.just("browser-1")),
)


@examples(300)
@given(SUBJECTS)
@example(Subject.of(emails=[EMAIL], user_ids=[LONG]))
def test_every_call_of_an_erasure_keeps_the_contracts(subject: Subject) -> None:
    calls = [(PRIVACY_DELETE.path, body) for body in subject.delete_bodies("why")]
    calls += [(UNSUBSCRIBE.path, body) for body in subject.unsubscribe_bodies()]
    for path, body in calls:
        assert [error for contract in CONTRACTS for error in contract.errors("POST", path, body)] == []


def test_an_id_too_long_for_attentive_does_not_spoil_the_request() -> None:
    assert Subject.of(emails=[EMAIL], user_ids=[LONG]).delete_bodies("why") == [
        {"subjectEmail": EMAIL, "requestMsg": "why"}
    ]
    assert Subject.of(user_ids=[LONG]).delete_bodies("why") == []
