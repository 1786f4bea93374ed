"""What a deletion does in one Attentive account, as the YAML file describes it."""

from pydantic import Field

from app.config.values import Frozen


class Deletion(Frozen):
    """What is done when somebody is to be forgotten, beyond forgetting them here."""

    unsubscribe: bool = Field(False, description="end the person's subscriptions first, without a text to them")
    request: bool = Field(False, description="file Attentive's delete request, and follow it to its end")
    receipt_days: int = Field(730, ge=1, le=36_500, description="how long receipts are kept, without personal data")
