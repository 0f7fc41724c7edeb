# The same image serves both lines of the Procfile:
#   docker run ... IMAGE alembic upgrade head     once for each release
#   docker run ... IMAGE                          the worker; it listens to all, so set API_TOKENS
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
ENV UV_CACHE_DIR=/cache \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/venv \
    UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /build
# Dependencies have a layer of their own: it stays cached while only the service changes.
# uv.lock is taken where there is one, and the resolution is repeatable where there is none.
COPY pyproject.toml uv.lock* ./
RUN --mount=type=cache,target=/cache uv sync --no-dev --no-install-project
COPY LICENSE README.md ./
COPY app app
RUN --mount=type=cache,target=/cache uv sync --no-dev --no-editable

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="faust-service" \
      org.opencontainers.image.description="A Faust stream processing service that never loses an event." \
      org.opencontainers.image.licenses="Apache-2.0"
# Faust wants a folder of its own, and this user may write nowhere else but /tmp.
ENV FAUST_DATADIR=/tmp/faust \
    PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WEB_HOST=0.0.0.0
COPY --from=build /venv /venv
WORKDIR /service
COPY pyproject.toml ./
COPY migrations migrations
USER 10001:10001
EXPOSE 6066
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + (os.environ.get('WEB_PORT') or '6066') + '/ping', timeout=4)"]
CMD ["faust", "-A", "app", "worker", "-l", "info"]
