"""`attentive-gateway worker`: one worker alone."""

from workers.worker import main


def worker() -> None:
    """Run one worker alone: it sends calls to Attentive.

    All its settings are variables: see `attentive-gateway settings`. Its health and metrics are pages of
    GATEWAY_WORKER_HOST and GATEWAY_WORKER_PORT.
    """
    main()
