"""A model of Attentive's API, for development and tests: a separate ASGI app that contacts no other system.

It was built from public documents and never compared with the real API. Where no document describes how the real API
behaves, there is a switch in `SandboxConfig`. The real value of each of these is unknown:

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
