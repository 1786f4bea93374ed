"""A model of Attentive's API, to develop and test against: an ASGI app of its own that sends nothing anywhere.

It was built from public documents and never checked against the real API. Where no document settles how the real API
behaves, there is a switch in `SandboxConfig`; the real setting of each of these is unknown:

- order and strictness: `checks`, `refuse_unknown_keys`, `forbidden_characters`
- limits: `limit_window`, `retry_after`
- errors: `error_body`, `echo_person`
- events: `unknown_types`, `unlinked`, `untimely`, `duplicates`
- attributes: `attribute_names_max`, `numeric_strings_are_numbers`, `v2_type_conflicts`
- subscriptions: `subscribed_again`

Not modelled: product catalog, webhooks, segments and bulk; their paths answer 404.
"""

from app.sandbox.app import Sandbox, create_sandbox
from app.sandbox.config import SandboxConfig
from app.sandbox.server import RunningSandbox, running_sandbox, serve_sandbox

__all__ = ["RunningSandbox", "Sandbox", "SandboxConfig", "create_sandbox", "running_sandbox", "serve_sandbox"]
