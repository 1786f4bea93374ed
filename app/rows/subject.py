"""One sync of the configuration: where its rows go, where its state is, and what this process knows of both ends."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.config.destination import Destination
from app.config.sync import Sync
from app.config.values import is_placeholder
from app.operations.operator import BadRequest, Operator
from app.rows.files import SourceFailed
from app.store.keys import ROWS_PREFIX

WITHHELD: Final = "withheld"  # in place of a secret of the local run


@dataclass(frozen=True, slots=True)
class Subject:
    """One sync, with where its rows go and where its state is."""

    name: str
    sync: Sync
    destination: Destination
    place: Path | str  # of its state: a file, or the URL of an object

    @property
    def has_state(self) -> bool:
        """Whether this machine has its state."""
        return isinstance(self.place, Path) and self.place.exists()

    @property
    def source(self) -> str:
        """The name of the source that its events have."""
        return ROWS_PREFIX + self.name


def subject_of(operator: Operator, name: str) -> Subject:
    """The sync of this name. Raises BadRequest."""
    syncs = operator.topology.syncs
    if name not in syncs:
        known = f"The syncs are: {', '.join(syncs)}." if syncs else "The configuration has no `syncs`."
        raise BadRequest(f"There is no sync {name!r}. {known}")
    sync = syncs[name]
    place = place_of(str(operator.settings.sync_state), name)
    return Subject(name, sync, operator.topology.destinations[sync.destination], place)


def place_of(folder: str, name: str) -> Path | str:
    """The file of a sync's state, or the URL of its object."""
    if "://" in folder:
        return f"{folder.rstrip('/')}/{name}.sqlite"
    return Path(folder) / f"{name}.sqlite"


def has_token(account: Destination) -> bool:
    """Whether this process knows the API token of a destination."""
    return not is_placeholder(account.api_token) and account.api_token.get_secret_value() != WITHHELD


def check_connection(subject: Subject) -> None:
    """Raises SourceFailed where the address of the database is not known to this process."""
    connection = subject.sync.source.connection
    if connection is not None and is_placeholder(connection):
        raise SourceFailed(
            f"The connection of sync {subject.name!r} is not known here: set the variable or the file that "
            "`source.connection` names."
        )
