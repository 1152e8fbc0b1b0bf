# One image for web, worker and trainer; the command says which.
FROM python:3.13-slim

# The wheels of implicit and lightgbm link the system's OpenMP runtime.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY feed ./feed
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

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
