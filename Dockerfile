# An image with charloom and its page. docs/guides/serve.md has the commands that build and start it.
ARG PYTHON=python:3.13-slim-bookworm

FROM ${PYTHON} AS build
# The compiler for the native engine; it stays in this stage. Debian keeps no old versions, so none is named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/charloom
WORKDIR /source
COPY pyproject.toml CMakeLists.txt README.md LICENSE ./
COPY cpp cpp
COPY src src
# Without a working compiler, pip would install charloom without the native engine: the second command then fails.
RUN /opt/charloom/bin/pip install --no-cache-dir '.[web,corpora]' \
    && /opt/charloom/bin/python -c 'from charloom import _native'

FROM ${PYTHON}
# The user has a fixed number, so that the owner of a folder on the host can be set to it.
RUN useradd --uid 10001 --create-home charloom \
    && install --directory --owner charloom --group charloom /data /data/runs
COPY --from=build /opt/charloom /opt/charloom
ENV PATH=/opt/charloom/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8421
# Any response shows that the server works: without its token, the server refuses the request.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s \
    CMD ["python", "-c", "import http.client; server = http.client.HTTPConnection('127.0.0.1', 8421, timeout=8); server.request('GET', '/api/health'); server.getresponse()"]
ENTRYPOINT ["charloom"]
# 0.0.0.0 lets the host reach the server, which then requires the token in the address that it prints.
CMD ["serve", "/data/runs", "--host", "0.0.0.0", "--port", "8421", "--no-open"]
