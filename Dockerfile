# One image for every role; what it is comes from its environment: LILYPAD_ROLE, LILYPAD_OFFER, LILYPAD_NETWORK, …
# (`lilypad node start --help` names them all). Data lies in /data.
#
#   docker/build                       makes it, also where no image registry can be reached
#   docker build --build-arg BASE=… .  on a base of your own; both bases need the same Python 3.11
ARG BASE=python:3.11-slim-bookworm
ARG BUILD_BASE=python:3.11-bookworm
ARG WIRE_BASE=${BASE}

# what the testnet's helpers run in: the packet filter's tools, and nothing of a peer
FROM ${WIRE_BASE} AS wire
RUN command -v iptables >/dev/null \
 || { apt-get update -qq && apt-get install -y -qq --no-install-recommends iptables && rm -rf /var/lib/apt/lists/*; }
COPY testnet/__init__.py testnet/delayer.py /opt/wire/testnet/
WORKDIR /opt/wire

FROM ${BUILD_BASE} AS build
# docker/build puts wheels into the context and sets PIP_NO_INDEX=1; otherwise pip fetches what the lock file names
ARG PIP_NO_INDEX=
COPY requirements-node.lock docker/wheels* /wheels/
RUN python3 -m venv --copies /opt/lilypad \
 && /opt/lilypad/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
      --find-links /wheels --require-hashes -r /wheels/requirements-node.lock \
 && /opt/lilypad/bin/pip uninstall --quiet -y pip setuptools \
 && mkdir -p /opt/lilypad/shared \
 && cp -L /usr/lib/*/libgmp.so.10 /opt/lilypad/shared/ \
 && for file in /usr/lib/*/faketime/libfaketime.so.1; do if [ -f "$file" ]; then cp "$file" /opt/lilypad/shared/; fi; done \
 && find /opt/lilypad -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && find /opt/lilypad -name '*.so*' -exec strip --strip-unneeded {} + 2>/dev/null \
 ; find /opt/lilypad \( -name '*.pyi' -o -name '*.c' -o -name '*.h' \) -delete
COPY protocol /opt/lilypad/app/protocol
COPY agents /opt/lilypad/app/agents
COPY content /opt/lilypad/app/content
COPY p2p /opt/lilypad/app/p2p
COPY contracts /opt/lilypad/app/contracts
COPY modules /opt/lilypad/app/modules
COPY simulator /opt/lilypad/app/simulator
COPY node /opt/lilypad/app/node
COPY testnet /opt/lilypad/app/testnet
COPY docker/lilypad docker/healthy /opt/lilypad/bin/
RUN /opt/lilypad/bin/python3 -m compileall -q -j 0 /opt/lilypad/lib /opt/lilypad/app || true

FROM ${BASE} AS node
COPY --from=build /opt/lilypad /opt/lilypad
RUN echo 'lilypad:x:10001:10001::/data:/usr/sbin/nologin' >>/etc/passwd \
 && echo 'lilypad:x:10001:' >>/etc/group \
 && mkdir /data && chown 10001:10001 /data && chmod 700 /data
ENV PATH=/opt/lilypad/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/lilypad/app \
    LD_LIBRARY_PATH=/opt/lilypad/shared \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    LILYPAD_HOME=/data \
    LILYPAD_ROLE=client \
    LILYPAD_HTTP=0.0.0.0:8090 \
    LILYPAD_LISTEN=/ip4/0.0.0.0/tcp/4001 \
    LILYPAD_LOG=json
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 4001 8090
HEALTHCHECK --interval=30s --timeout=10s --start-period=90s --retries=3 CMD ["healthy"]
ENTRYPOINT ["lilypad"]
CMD ["node", "start"]
