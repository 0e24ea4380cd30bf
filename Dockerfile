# The image of Refit: one process tree (web workers and the training supervisor), one volume, no root, nothing to write but /data and /tmp.
#
#   docker build -t refit .                     (or scripts/container-build, which also finds what pip needs on this machine)
#   docker run -p 127.0.0.1:8000:8000 -v refit-data:/data refit
#
# torch comes without CUDA: `torch==<the pin of constraints.txt>+cpu`, a version that only CPU indexes carry, so a wrong index makes
# the build fail instead of fetching gigabytes. TORCH_INDEX_URL is the index to take it from: a mirror of yours, or empty
# (`--build-arg TORCH_INDEX_URL=`) when pip's own configuration already knows a place that has the CPU wheel.

FROM python:3.11-slim AS dependencies
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The base image has no bytecode of the standard library, and a read-only file system can never cache it. Compiled here once,
# it saves every process half a second of its start (`import torch`: 1.6 s against 2.1 s).
RUN python -m compileall -q -j 0 /usr/local/lib/python3.11 -x '/(site-packages|test|tests|lib2to3|idlelib|turtledemo)/' && \
    mkdir /bytecode && cd /usr/local/lib/python3.11 && \
    find . -name '*.pyc' -not -path './site-packages/*' | tar -cf - -T - | tar -xf - -C /bytecode

# The user's entry in /etc/passwd (some libraries ask for the name) and the folder that lends the volume its owner.
RUN groupadd --gid 65532 refit && \
    useradd --uid 65532 --gid 65532 --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin refit && \
    mkdir -p /volume/data && chown 65532:65532 /volume/data

# torch before all else; its tests, headers and test programs (200 MB) stay behind.
RUN python -m venv --without-pip /opt/refit
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/refit/bin/python install --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} \
      "$(grep -xE 'torch==[0-9.]+' constraints.txt)+cpu" && \
    cd /opt/refit/lib/python3.11/site-packages/torch && rm -rf test include bin/test_* bin/protoc*
RUN --mount=type=cache,target=/var/cache/pip \
    python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > requirements.txt && \
    pip --python /opt/refit/bin/python install -c constraints.txt -r requirements.txt && \
    /opt/refit/bin/python -c 'import torch; assert torch.version.cuda is None, f"torch {torch.__version__} brings CUDA {torch.version.cuda}"'


# The code, in a stage and a layer of its own: a change of code moves kilobytes. .dockerignore lets in only what makes the package.
FROM dependencies AS code
COPY . .
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/refit/bin/python install --no-deps --prefix /code .


# Only COPY below: nothing runs in the final stage, so nothing of the machine that builds it can stay behind.
FROM python:3.11-slim
LABEL org.opencontainers.image.title="Refit" \
      org.opencontainers.image.description="Trains, versions and serves PyTorch regression models over one REST API" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=dependencies /etc/passwd /etc/group /etc/
COPY --from=dependencies /bytecode /usr/local/lib/python3.11
COPY --from=dependencies --chown=65532:65532 /volume/data /data
COPY --from=dependencies /opt/refit /opt/refit
COPY --from=code /code /opt/refit

# `refit` is on the path: `docker exec <container> refit jobs` speaks to the service in it.
# matplotlib wants a writable folder for its font cache; bytecode was compiled by the build, and there is nowhere to put more.
ENV PATH=/opt/refit/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib \
    REFIT_HOST=0.0.0.0 REFIT_PORT=8000 REFIT_DATA_DIR=/data
WORKDIR /opt/refit
USER 65532:65532
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# The first start trains a model before it is ready; failures within the start period do not count.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-m", "service", "health"]
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
