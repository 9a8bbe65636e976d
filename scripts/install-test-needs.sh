#!/usr/bin/env bash
# Installs what the tests need beside Rust, where it is missing: a C compiler for WebAssembly, and the
# programs that fetch or serve what the tests use. Debian and Ubuntu only; elsewhere it says what to install.
set -euo pipefail

needed=()
need() { # PACKAGE TEST...: the package is needed if the test fails
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || needed+=("$package")
}

wasm_builtins() {
    local resources
    resources=$(clang --print-resource-dir) && [[ -n $(find "$resources/" -name '*builtins*wasm32*' -o \
        -path '*wasm32*' -name '*builtins*') ]]
}

need g++ command -v c++
need clang command -v clang
need lld command -v wasm-ld
need wasi-libc test -e /usr/include/wasm32-wasi/stdio.h
need libclang-rt-dev-wasm32 wasm_builtins
need libc++-dev-wasm32 test -e /usr/lib/wasm32-wasi/libc++abi.a
need npm command -v npm
need python3-pip python3 -m pip --version
need chromium test -x /usr/bin/chromium
need chromium-driver test -x /usr/bin/chromedriver
need curl command -v curl
need openssl command -v openssl
need redis-server command -v redis-server
need mariadb-server test -x /usr/sbin/mariadbd
need nats-server command -v nats-server
need nginx test -x /usr/sbin/nginx
# Programs are what is needed; where policy-rc.d says no, or there is no systemd, nothing is started. Newer versions of
# Docker and containerd are unpacked beside these by the tests themselves.
need docker.io test -x /usr/bin/docker -a -x /usr/sbin/dockerd
need docker-compose test -x /usr/bin/docker-compose
need bsdutils command -v script
need docker-registry command -v docker-registry
need postgresql test -d /usr/lib/postgresql
need containerd command -v containerd
need runc command -v runc
need busybox-static test -x /bin/busybox
need containernetworking-plugins test -x /usr/lib/cni/loopback
need procps test -x /bin/kill

if [[ ${#needed[@]} == 0 ]]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "The tests need what Debian calls: ${needed[*]}. Tests without it are skipped (and fail with CI=true)." >&2
    exit 0
fi
echo "Installing what the tests need: ${needed[*]}"
root=()
if [[ $(id -u) != 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "Neither root nor sudo; please install: ${needed[*]}" >&2
        exit 1
    fi
    root=(sudo)
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${needed[@]}"
