#!/usr/bin/env bash
# Runs the examples of Dapr's SDKs, unchanged, against Sampan, and compares what they print.
#
# dapr-examples.sh SDK_CHECKOUT [EXAMPLE...]: the checkout of dapr/python-sdk, dapr/js-sdk or dapr/rust-sdk,
# whose folder has that name; an example's name is its folder. The SDKs themselves are the published packages. `SAMPAN`
# names another sampan than the one in PATH. The ports that the examples name must be free: 3500, 6379 (Redis, which
# is started), 50001, 50051 and so on.
set -euo pipefail

fail() {
    echo "$*" >&2
    exit 1
}

[[ $# -ge 1 && -d $1/examples ]] || fail "usage: dapr-examples.sh SDK_CHECKOUT [EXAMPLE...]"
examples=$(realpath "$1/examples")
sdk=$(basename "$(dirname "$examples")")
shift
parts=$(dirname "$(realpath "$0")")/dapr-examples
[[ -f $parts/$sdk.sh ]] || fail "the checkout's folder is to be python-sdk, js-sdk or rust-sdk, not $sdk"
sampan=${SAMPAN:-sampan}
command -v "$sampan" >/dev/null || fail "there is no \`$sampan\`: let SAMPAN name one"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sampan-tests/dapr-examples/$sdk
mkdir -p "$cache"
work=$(mktemp -d)
started=()
trap 'end_all; rm -rf "$work"' EXIT

# Ends what an example started.
end_all() {
    local pid
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    started=()
}

listens() { # PORT
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Starts a program in the background; what it says is in a file of this name.
run() { # NAME COMMAND...
    local name=$1
    shift
    : >"$work/$name.log"
    "$@" >"$work/$name.log" 2>&1 &
    started+=($!)
}

# An example begins: in its folder, with an empty Redis and no components.
begin() { # FOLDER
    end_all
    rm -rf "${work:?}"/*
    mkdir "$work/components"
    cd "$examples/$1"
    ! listens 6379 || fail "the examples want an empty Redis at 6379, where something is already"
    run redis redis-server --port 6379 --save '' --dir "$work"
    until listens 6379; do sleep 0.1; done
}

# A component as `dapr init` makes it, under the name that the example uses.
component() { # NAME TYPE [KEY VALUE]...
    local file=$work/components/$1.yaml
    printf 'apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: %s\nspec:\n  type: %s\n' "$1" "$2" >"$file"
    printf '  version: v1\n  metadata:\n' >>"$file"
    shift 2
    while [[ $# -gt 0 ]]; do
        printf '  - name: %s\n    value: "%s"\n' "$1" "$2" >>"$file"
        shift 2
    done
}

on_redis() { # NAME TYPE
    component "$1" "$2" redisHost 127.0.0.1:6379
}

# Files of the example itself.
resources() { # FILE...
    cp "$@" "$work/components/"
}

# Starts Sampan. Options: app=PORT, protocol=grpc, http=PORT, grpc=PORT.
up() { # APP_ID [OPTION]...
    local app='' protocol=http http=3500 grpc=50001 id=$1
    shift
    [[ $# -eq 0 ]] || local "$@"
    {
        printf '[app]\nname = "%s"\n[dapr]\ncomponents = "components"\n' "$id"
        printf 'http = "127.0.0.1:%s"\ngrpc = "127.0.0.1:%s"\n' "$http" "$grpc"
        [[ -z $app ]] || printf 'app_port = %s\napp_protocol = "%s"\n' "$app" "$protocol"
    } >"$work/sampan.toml"
    # What `dapr run` tells a program.
    export DAPR_HTTP_PORT=$http DAPR_GRPC_PORT=$grpc APP_PORT=$app APP_ID=$id
    run sampan "$sampan" up -f "$work/sampan.toml" --listen 127.0.0.1:0
    expect sampan "dapr on http://127.0.0.1:$grpc/"
}

# Waits until a program has said each of these texts.
expect() { # NAME TEXT...
    local name=$1 text tries
    shift
    for text in "$@"; do
        tries=450
        until grep -qF -- "$text" "$work/$name.log"; do
            if ((--tries == 0)); then
                echo "FAILED: $name did not say: $text"
                tail -n 40 "$work/$name.log" "$work/sampan.log"
                exit 1
            fi
            sleep 0.1
        done
    done
}

# shellcheck source=/dev/null
source "$parts/$sdk.sh"
[[ $# -gt 0 ]] || set -- "${all[@]}"
packages
for example in "$@"; do
    begin "$example"
    "${example//\//_}"
    echo "ok: $example"
done
