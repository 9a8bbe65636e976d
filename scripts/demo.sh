#!/usr/bin/env bash
# Builds Sampan, and runs a web server that is a WebAssembly program until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in cargo cc; do
    if ! command -v $tool >/dev/null; then
        echo "The demo needs Rust (https://rustup.rs) and a C compiler; \`$tool\` is missing." >&2
        exit 1
    fi
done

target=${CARGO_TARGET_DIR:-target}
if [[ ! -x $target/debug/sampan ]]; then
    echo "Building Sampan. The first build compiles Wasmtime and its code generator: 6 to 15 minutes on"
    echo "two cores. Later builds take seconds. Cargo shows how far it is."
else
    echo "Building what has changed."
fi
start=$SECONDS
cargo build --workspace
echo "Building the demo's web server for WebAssembly."
cargo xtask guests web-server
echo "Built in $((SECONDS - start)) s."

# Whether something listens on the port.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port=${PORT:-8080}
while taken "$port"; do
    echo "Port $port is taken."
    port=$((port + 1))
done

command=("$target/debug/sampan" run -p "127.0.0.1:$port:80" -v "$PWD/examples/site:/site:ro"
    "$target/guests/wasm32-wasip1/web-server.wasm")
printf '\n$'
printf ' %s' "${command[@]}"
printf '\n'

# Says where the server is as soon as it answers, for as long as it may still come up.
announce() {
    for _ in {1..300}; do
        if taken "$port"; then
            echo
            echo "The server answers on  http://127.0.0.1:$port/"
            echo "Try in another shell:  curl -i http://127.0.0.1:$port/"
            echo "Ctrl-C ends it."
            return
        fi
        # `exec` keeps the number of this process.
        kill -0 $$ 2>/dev/null || return
        sleep 0.1
    done
}
announce &
exec "${command[@]}"
