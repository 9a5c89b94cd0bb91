# The service alone: it answers, and keeps jobs for a worker to train. Without torch.
# Build from the root of the repository: docker build -f docker/service.Dockerfile .

FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY metadata metadata
COPY service service
COPY training_worker training_worker
RUN python -m venv /opt/peftwise \
    && /opt/peftwise/bin/pip install --no-cache-dir -c constraints.txt ".[postgres]"

FROM python:3.11-slim-bookworm
# LightGBM links to libgomp. Debian keeps one version of it per release, so none is named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home peftwise \
    && install --directory --owner=peftwise /data
COPY --from=build /opt/peftwise /opt/peftwise
COPY docker/healthcheck.py /opt/peftwise/healthcheck.py
ENV PATH=/opt/peftwise/bin:$PATH \
    PEFTWISE_DATA_DIR=/data \
    PEFTWISE_EXECUTOR=none \
    PEFTWISE_HOST=0.0.0.0 \
    PEFTWISE_PORT=8000
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "/opt/peftwise/healthcheck.py"]
CMD ["peftwise", "serve"]
