"""FastAPI's own telemetry, switched off: it would record queries, and with them write keys and personal data."""

from typing import Final

from fastapi.telemetry import TelemetryConfig

NO_TELEMETRY: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,  # whatever FASTAPI_OTEL_AUTO_CONFIGURE asks for
}
