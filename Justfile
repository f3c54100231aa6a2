# Every command that the project knows. `./just` alone lists them; `./just NAME` runs one on a machine where nothing was set up.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")
target := env("CARGO_TARGET_DIR", justfile_directory() / "target")
plugins := "-p weir-keywords -p weir-language -p weir-redactor -p weir-router -p weir-splitter"
components := target / "wasm32-wasip2/guest"
# Tests wait for brokers, toolchains and faults more than they compute.
test_threads := `echo $(( $(getconf _NPROCESSORS_ONLN) * 3 ))`

# List the recipes
default:
    @just --list --unsorted

# Run the demo: split, redact and rank a folder of real documents in two flows, swap a processor in each, one of them from Rust to Python, then check and print the result (default: this repository and the system's licences); `--broker URL` uses RabbitMQ or Pulsar
demo *ARGUMENTS: release
    "{{ target }}/release/weir" build sdk/python/examples/splitter --output "{{ components }}/weir_splitter_python.wasm"
    python3 -B demo/demo.py --weir "{{ target }}/release/weir" --components "{{ components }}" {{ ARGUMENTS }}

# Build the binary and the plugins as they ship
release:
    cargo build --release --bin weir --bin weir-bench
    cargo build --profile guest --target wasm32-wasip2 -p weir-redactor --features ip
    cp "{{ components }}/weir_redactor.wasm" "{{ components }}/weir_redactor_ip.wasm"
    cargo build --profile guest --target wasm32-wasip2 {{ plugins }}

# Build everything for development
build:
    cargo build --all-targets

# Format the code
fmt:
    cargo fmt

# Check format and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --profile guest --target wasm32-wasip2 -p weir-guests {{ plugins }} --examples --lib -- -D warnings

# Install RabbitMQ for the tests: 3.10, 4.0 or 4.3, unless WEIR_TEST_RABBITMQ_URL is set to a running one
rabbitmq VERSION="4.0":
    test -n "${WEIR_TEST_RABBITMQ_URL:-}" || tests/brokers/rabbitmq.sh "{{ VERSION }}"

# Install Apache Pulsar for the tests, unless WEIR_TEST_PULSAR_URL is set to a running one
pulsar:
    test -n "${WEIR_TEST_PULSAR_URL:-}" || tests/brokers/pulsar.sh

# Run all checks and all tests, on one version of RabbitMQ and on Pulsar: what CI runs
test: lint rabbitmq pulsar
    cargo build --bin weir
    RUST_TEST_THREADS="${RUST_TEST_THREADS:-{{ test_threads }}}" cargo test
    cargo test {{ plugins }}
    cargo test -p weir-redactor --features ip

# Run the tests of RabbitMQ, Pulsar and network faults, on Pulsar and on all supported versions of RabbitMQ, or on VERSIONS, with ROUNDS times the faults of `./just test`, and on each with ROLE_ROUNDS rounds of faults on roles in separate processes (`./just test`: 20 on RabbitMQ, 5 on Pulsar)
faults VERSIONS="3.10 4.0 4.3" ROUNDS="5" ROLE_ROUNDS="200": pulsar
    cargo build --bin weir
    for version in {{ VERSIONS }}; do test -n "${WEIR_TEST_RABBITMQ_URL:-}" || tests/brokers/rabbitmq.sh $version || exit 1; done
    for version in {{ VERSIONS }}; do echo "RabbitMQ $version"; WEIR_TEST_RABBITMQ=$version WEIR_TEST_ROUNDS={{ ROUNDS }} WEIR_TEST_ROLE_ROUNDS={{ ROLE_ROUNDS }} cargo test --test it -- rabbitmq proxy || exit 1; done
    WEIR_TEST_ROUNDS={{ ROUNDS }} WEIR_TEST_ROLE_ROUNDS={{ ROLE_ROUNDS }} cargo test --test it -- pulsar

# Run the tests whose names contain FILTER, without the lints
test-only FILTER:
    cargo build --bin weir
    cargo test {{ FILTER }}

# Licences, sources and banned crates (needs cargo-deny)
deny:
    cargo deny check bans licenses sources

# Build the reference client of `weir-bench pulsar`, with the crate `pulsar`
pulsar-peer:
    PROTOC="{{ justfile_directory() }}/bench/pulsar-peer/protoc" cargo build --release -p weir-pulsar-peer

# Run a bench of bench/README.md: `./just bench handle`, `flow`, `swap`, `request`, `post`, `import`, `take`, `start`, `status`, `straggler`, `flows`, `neighbours`, `outputs` or `plugin FILE.wasm TEXTS`
bench *ARGS:
    cargo build --release --bin weir --bin weir-bench
    cargo build --profile guest --target wasm32-wasip2 -p weir-guests --examples
    "{{ target }}/release/weir-bench" --guests "{{ components }}/examples" {{ ARGS }}
