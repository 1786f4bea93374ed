"""What a process evaluates and whom it tells, made of the configuration. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.alerts.messages import Sender
from app.alerts.routing import Channel
from app.alerts.rules import Evaluator, Rule


@dataclass(frozen=True, slots=True)
class AlertPlan:
    """The alerts of a configuration."""

    rules: Mapping[str, Rule] = field(default_factory=dict)  # those that are evaluated, with their thresholds
    channels: Sequence[Channel] = ()
    addresses: Mapping[str, str] = field(default_factory=dict, repr=False)  # by channel; secrets
    sender: Sender = field(default_factory=Sender)
    heartbeat: str | None = field(default=None, repr=False)  # a secret

    def of(self, evaluator: Evaluator) -> Mapping[str, Rule]:
        """The rules that one kind of process evaluates."""
        return {name: rule for name, rule in self.rules.items() if rule.evaluator is evaluator}
