# One image for both services and the command line. The command decides what a container is:
#   store:    python -m store_service --listen 0.0.0.0:7701 --database sqlite:////data/holdfast.db
#   runtime:  python -m runtime_service MODULE... --listen 0.0.0.0:7702 --store store:7701
# The base by its digest, the index of all platforms: another one is another commit. What is checked of this file is in
# tests/security/test_container.py, and how it is renewed in docs/security.md.
FROM python:3.12.14-slim-bookworm@sha256:392307d22300de8b5986851a12d9176dfc0fc073e65bf6523ebd7dcbeb23564e AS build
WORKDIR /src
COPY pyproject.toml README.md requirements.lock requirements-build.lock ./
COPY holdfast holdfast
COPY store_service store_service
COPY runtime_service runtime_service
# Every package at the version and with the contents that CI saw; then holdfast itself, built by what is pinned too,
# which brings nothing more. What installs packages does not stay: nobody installs any in a container.
RUN python -m venv /opt/holdfast \
 && /opt/holdfast/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /opt/holdfast/bin/pip install --no-cache-dir --require-hashes -r requirements-build.lock \
 && /opt/holdfast/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/holdfast/bin/pip uninstall --yes setuptools pip

FROM python:3.12.14-slim-bookworm@sha256:392307d22300de8b5986851a12d9176dfc0fc073e65bf6523ebd7dcbeb23564e
RUN python -m pip uninstall --yes pip \
 && useradd --system --uid 10001 --user-group --create-home holdfast \
 && install -d -o holdfast -g holdfast /data /app
COPY --from=build /opt/holdfast /opt/holdfast
COPY --chown=holdfast:holdfast examples /app/examples
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
# By number, so that a cluster can see that it is not root.
USER 10001
VOLUME /data
EXPOSE 7701 7702 7703
ENTRYPOINT []
CMD ["holdfast", "--help"]
