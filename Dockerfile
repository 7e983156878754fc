# One image for both services and the command line. The command decides what a container is:
#   store:    python -m store_service --listen 0.0.0.0:7701 --database sqlite:////data/holdfast.db
#   runtime:  python -m runtime_service MODULE... --listen 0.0.0.0:7702 --store store:7701
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md requirements.lock ./
COPY holdfast holdfast
COPY store_service store_service
COPY runtime_service runtime_service
# Every package at the version and with the contents that CI saw; then holdfast itself, which brings nothing more.
RUN python -m venv /opt/holdfast \
 && /opt/holdfast/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /opt/holdfast/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home holdfast \
 && install -d -o holdfast -g holdfast /data /app
COPY --from=build /opt/holdfast /opt/holdfast
COPY --chown=holdfast:holdfast examples /app/examples
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER holdfast
VOLUME /data
EXPOSE 7701 7702
ENTRYPOINT []
CMD ["holdfast", "--help"]
