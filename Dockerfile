# docker build --tag zilliz-import-exporter .
# docker run --rm --read-only --cap-drop=ALL --publish=10530:10530 zilliz-import-exporter --demo

FROM python:3.13-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY exporter ./exporter
COPY grafana ./grafana
COPY prometheus ./prometheus
COPY config.example.yaml ./
ARG REVISION=
RUN sed -i "s/^__revision__ = .*/__revision__ = \"${REVISION}\"/" exporter/__init__.py \
    && python -m pip wheel --no-cache-dir --no-deps --wheel-dir=/wheels . \
    && python -m pip install --no-cache-dir --prefix=/install /wheels/*.whl

FROM python:3.13-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="zilliz-import-exporter" \
      org.opencontainers.image.description="Prometheus exporter for bulk-import jobs of Zilliz Cloud and Milvus" \
      org.opencontainers.image.source="https://github.com/zilliztech/zilliz-import-exporter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /install /usr/local
# The root may be read-only: byte code is there already, and none is written.
ENV PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/zilliz-import-exporter
# A number, so that Kubernetes can tell that it is not root; 65532 is the usual one for a user without rights. Any
# other user does as well: nothing is written, and no home is needed.
USER 65532:65532
EXPOSE 10530
# Works with TLS and passwords, too; a container that listens elsewhere needs its own --health-cmd. The times hold with
# a tenth of a core, where the start takes 6 to 12 s.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s CMD ["zilliz-import-exporter", "--health"]
ENTRYPOINT ["zilliz-import-exporter"]
