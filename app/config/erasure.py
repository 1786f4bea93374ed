"""What an erasure does in one Attentive account, as the YAML file describes it."""

from pydantic import Field

from app.config.values import Frozen


class ErasureSettings(Frozen):
    """What an erasure does at Attentive, in addition to removing the person's data here."""

    unsubscribe: bool = Field(False, description="end the person's subscriptions first, without a text message to them")
    request: bool = Field(False, description="file Attentive's delete request, and follow it to its end")
    receipt_days: int = Field(
        730, ge=1, le=36_500, description="days that receipts are kept; they contain no personal data"
    )
