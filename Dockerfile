# A static binary in an image with nothing else: docs/containers.md.
#
#   docker build -t gold_digger .

ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm

FROM ${RUST_IMAGE} AS build
# Shown by --version; the context has no .git.
ARG GOLD_DIGGER_COMMIT=
ENV GOLD_DIGGER_COMMIT=${GOLD_DIGGER_COMMIT}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# The newest authorities and time zones are the right ones.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The C library too: the target is named, so that build scripts and macros are
# built as usual.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" \
 && install -D "target/$target/release/gold_digger" /image/usr/bin/gold_digger \
 && mkdir -p /image/data /image/etc/ssl/certs /image/usr/share \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && cp -r /usr/share/zoneinfo /image/usr/share/ \
 && rm -rf /image/usr/share/zoneinfo/posix /image/usr/share/zoneinfo/right \
 && printf 'gold_digger:x:65532:65532::/data:/sbin/nologin\n' > /image/etc/passwd \
 && printf 'gold_digger:x:65532:\n' > /image/etc/group \
 && chown 65532:65532 /image/data

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /data
ENTRYPOINT ["/usr/bin/gold_digger"]
