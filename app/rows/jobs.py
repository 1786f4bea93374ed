"""The bulk calls of a run that Attentive took, each of which it works off as a job."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.rows.accepted import Accepted
from app.rows.database import Database
from app.rows.members import Members
from app.rows.outcomes import Outcome


class Job(NamedTuple):
    """A bulk call that Attentive took, and the rows of its records, in their order."""

    id: str
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Jobs:
    """The rows of a run that are under way in jobs."""

    db: Database
    accepted: Accepted
    members: Members

    def add(self, job: str, places: Sequence[int]) -> None:
        """Store the job of a bulk call, which has a result for each of these rows, in this order."""
        with self.db.transaction():
            self.db.many(
                "UPDATE stage SET step = 2, job = ?, job_index = ? WHERE place = ?",
                [(job, index, place) for index, place in enumerate(places)],
            )

    def open(self) -> list[Job]:
        """The jobs whose rows have not ended."""
        query = "SELECT job, place FROM stage WHERE step = 2 AND job IS NOT NULL ORDER BY job, job_index"
        places: dict[str, list[int]] = {}
        for job, place in self.db.execute(query):
            places.setdefault(job, []).append(place)
        return [Job(job, tuple(each)) for job, each in places.items()]

    def settle(self, ended: Iterable[tuple[int, str, str]]) -> None:
        """Store how rows of bulk calls ended: place, outcome and detail.

        A changed member that was removed under its old identifiers is planned again, under its new ones.
        """
        rows = list(ended)
        accepted = [place for place, outcome, _ in rows if Outcome.is_accepted(outcome)]
        with self.db.transaction():
            query = "SELECT place FROM stage WHERE place = ? AND old IS NOT NULL"
            changed = {place for place in accepted if self.db.execute(query, [place]).fetchone()}
            self.db.many(
                "UPDATE stage SET step = 0, old = NULL, job = NULL WHERE place = ?", ((place,) for place in changed)
            )
            accepted = [place for place in accepted if place not in changed]
            self.accepted.accept_staged(accepted)
            self.members.take(accepted)
            ends = [(outcome, detail, place) for place, outcome, detail in rows if place not in changed]
            self.db.many("UPDATE stage SET step = 3, content = NULL, outcome = ?, detail = ? WHERE place = ?", ends)
