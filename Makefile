# The interface of the project: what people and CI run.

CARGO ?= cargo
SEEDS ?= 20000
WORLD_SEEDS ?= 5000
# More than there are cores: half of the time goes by while tests wait for what is theirs to wait for.
TEST_THREADS ?= 4
FUZZ_SECONDS ?= 60
DIST_TARGETS ?= x86_64-unknown-linux-musl aarch64-unknown-linux-musl armv7-unknown-linux-musleabihf \
	arm-unknown-linux-musleabihf
CHECK_TARGET ?= aarch64-unknown-linux-musl
DIST_NAMES = $(foreach target,$(DIST_TARGETS),$(firstword $(subst -, ,$(target))))

.PHONY: help demo build test dashboard-test pictures full check check-windows bench cluster-faults cluster-figures sim sctp-interop outside natlab fuzz \
	dist dist-check dist-small dist-all packages boot clean

help:
	@echo "make demo           a host, a client and a web service on this machine, with real traffic"
	@echo "make test           every test"
	@echo "make dashboard-test the page of the control interface in headless Chromium (needs node, chromium, and what .ci/run installs with npm)"
	@echo "make pictures       the pictures of the READMEs, from the program as it is (needs the same, a Chinese font, script and unshare of util-linux, and iproute2)"
	@echo "make full           the end-to-end tests that are too long for every day: gigabytes, minutes"
	@echo "make check          formatting, lints, documentation, layers"
	@echo "make check-windows  type-check for Windows (needs gcc-mingw-w64-x86-64)"
	@echo "make bench          criterion benches as a table"
	@echo "make cluster-faults   a cluster under load whose servers and links fail, each fault twenty times, as a table"
	@echo "make cluster-figures  what a second server on the way costs (needs nginx, wrk, curl and iperf3, and a quiet machine)"
	@echo "make sim            long sweeps: SEEDS=$(SEEDS) of the mux, WORLD_SEEDS=$(WORLD_SEEDS) of whole worlds, every emulated link, SCTP's tables"
	@echo "make sctp-interop   our SCTP against sctp-proto, dcsctp and aiortc (pip), both ways"
	@echo "make outside        a program that depends on pinhole, with the published SCTP and with ours"
	@echo "make natlab         every pair of NATs and every fault, as tables (needs root, iproute2, nftables, conntrack, gcc)"
	@echo "make fuzz           each fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)"
	@echo "make dist           static binaries for DIST_TARGETS, and the demo of each (needs python3-venv; qemu-user-static)"
	@echo "make dist-check     builds CHECK_TARGET=$(CHECK_TARGET) as fast as can be, and runs its demo"
	@echo "make dist-small     the same, smaller and slower, for machines with little flash"
	@echo "make dist-all       a tarball, a deb, an rpm and an ipk of each, and SHA256SUMS"
	@echo "make packages       packs them twice, installs, upgrades and removes them (needs root, and what packaging/test.sh says)"
	@echo "make boot           tries the units and pinhole install in a Debian that runs systemd (needs root, debootstrap, systemd-container)"

demo:
	$(CARGO) run --release --quiet -- demo

build:
	$(CARGO) build --release

test:
	RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --workspace -- $(TEST_FLAGS)

# The binary as other tests have it, so that it is not built twice.
dashboard-test:
	$(CARGO) test --workspace --test programs --no-run
	node --test tests/dashboard/test.mjs

pictures:
	$(CARGO) build
	node docs/pictures/terminal.mjs
	node docs/pictures/dashboard.mjs

full:
	PIPE_FULL=1 GATEWAY_FULL=1 SERVER_FULL=1 $(CARGO) test --release --test programs --test server

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) check --lib --no-default-features
	$(CARGO) check --no-default-features --features cli
	$(CARGO) check --lib --no-default-features --features server
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps --document-private-items
	$(CARGO) test --quiet --test layers -- --skip api:: --skip outside::

check-windows:
	rustup target add x86_64-pc-windows-gnu
	$(CARGO) check --target x86_64-pc-windows-gnu

bench:
	$(CARGO) bench --benches > target/bench.log || (cat target/bench.log; exit 1)
	@grep -E 'time:|thrpt:' target/bench.log

cluster-faults: build
	PINHOLE_BINARY=$${CARGO_TARGET_DIR:-target}/release/pinhole \
		$(CARGO) test --test server faults:: -- --ignored --nocapture

cluster-figures: build
	PINHOLE_BINARY=$${CARGO_TARGET_DIR:-target}/release/pinhole \
		$(CARGO) test --test server figures:: -- --ignored --nocapture --test-threads=1

sim:
	SIM_SEEDS=$(SEEDS) $(CARGO) test --release --test core mux_
	WORLD_SEEDS=$(WORLD_SEEDS) $(CARGO) test --release --lib run::world::simulation
	NETEM_FULL=1 $(CARGO) test --release --test core session_netem -- --nocapture
	GOODPUT_FULL=1 $(CARGO) test --release -p pinhole-sctp --test goodput tables -- --nocapture

sctp-interop:
	$(CARGO) test --manifest-path sctp/interop/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target}/interop -- --show-output

# One lock file for both, so that what is built already is not built again.
outside:
	cp Cargo.lock tests/outside/Cargo.lock
	$(CARGO) run --manifest-path tests/outside/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target}
	$(CARGO) run --manifest-path tests/outside/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target} \
		--config 'patch.crates-io.sctp-proto.path="sctp/adapter"'

natlab:
	NATLAB_FULL=1 $(CARGO) test --release --test natlab -- --nocapture --test-threads=1

fuzz:
	command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked
	for target in frame grammar http mux sctp_ops sctp_packet session signaling socks stun; do \
		$(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

dist:
	packaging/build.sh release $(DIST_TARGETS)

dist-check:
	packaging/build.sh dist-check $(CHECK_TARGET)

dist-small:
	packaging/build.sh dist-small $(DIST_TARGETS)

# Packages of what DIST_TARGETS built, in target/packages/out, and SHA256SUMS.
dist-all: dist
	packaging/package.sh target/packages/out $(DIST_NAMES)

packages: dist
	packaging/test.sh $(DIST_NAMES)

boot: BINARY ?= target/packages/bin/pinhole-x86_64
boot:
	packaging/boot.sh $(BINARY)

clean:
	$(CARGO) clean
	rm -rf fuzz/target fuzz/corpus fuzz/artifacts
