# The worker: takes jobs from the queue that it shares with the service, and trains them.
# Build from the root of the repository: docker build -f docker/worker.Dockerfile .
# Another build of torch, such as one for another accelerator: --build-arg TORCH=torch==2.12.0

FROM python:3.11-slim-bookworm AS build
ARG TORCH=torch==2.13.0
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY metadata metadata
COPY service service
COPY training_worker training_worker
RUN grep -v '^torch==' constraints.txt > without-torch.txt \
    && python -m venv /opt/peftwise \
    && /opt/peftwise/bin/pip install --no-cache-dir "$TORCH" \
    && /opt/peftwise/bin/pip install --no-cache-dir -c without-torch.txt ".[worker,postgres]"

FROM python:3.11-slim-bookworm
# LightGBM links to libgomp. Debian keeps one version of it per release, so none is named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home peftwise \
    && install --directory --owner=peftwise /data /home/peftwise/.cache
COPY --from=build /opt/peftwise /opt/peftwise
COPY docker/healthcheck.py /opt/peftwise/healthcheck.py
# Attempts report to a server of the worker's own, which no other machine reaches.
ENV PATH=/opt/peftwise/bin:$PATH \
    PEFTWISE_DATA_DIR=/data \
    PEFTWISE_EXECUTOR=local \
    PEFTWISE_HOST=127.0.0.1 \
    PEFTWISE_PORT=8000
USER 10001
VOLUME /data
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "/opt/peftwise/healthcheck.py"]
CMD ["peftwise", "serve"]
