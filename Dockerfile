# The static binary and nothing else. `make dist DIST_TARGETS=x86_64-unknown-linux-musl` makes it; then, say:
#   docker build --build-arg BINARY=target/packages/bin/pinhole-x86_64 --tag pinhole .
#   docker run --rm --network host pinhole host 8080
# With --platform linux/arm64 and pinhole-aarch64 it is an image for a Raspberry Pi.
# It brings no certificates: Mozilla's, which are in the binary, are used where a system has none.
FROM scratch
ARG BINARY=target/packages/bin/pinhole-x86_64
COPY ${BINARY} /pinhole
COPY LICENSE-MIT LICENSE-APACHE /
LABEL org.opencontainers.image.title="pinhole" \
      org.opencontainers.image.description="Makes services of one machine appear on another, directly, peer to peer." \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
USER 65534:65534
ENTRYPOINT ["/pinhole"]
