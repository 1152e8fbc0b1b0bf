# One image for web, worker and trainer; the command says which.
FROM python:3.13-slim-trixie
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# The wheels of implicit and lightgbm link the system's OpenMP runtime.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# The same steps as those of scripts/demo, in two layers: what is locked, then feed itself.
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1
COPY requirements-image.lock ./
COPY scripts/environment.sh ./scripts/environment.sh
RUN . scripts/environment.sh && create_environment /opt/feed requirements-image.lock python3

COPY pyproject.toml README.md LICENSE ./
COPY feed ./feed
RUN . scripts/environment.sh && install_project /opt/feed/bin/python .
ENV PATH=/opt/feed/bin:$PATH

RUN useradd --system --uid 10001 --home-dir /data feed \
    && mkdir -p /data && chown feed:feed /data
USER feed
VOLUME /data

# One thread per process: web processes scale by number, and a second one only adds waiting.
ENV FEED_DATA_DIR=/data \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    PYTHONUNBUFFERED=1

EXPOSE 8000
ENTRYPOINT ["feed"]
CMD ["serve"]
