# shellcheck shell=bash disable=SC2034
# The examples of dapr/js-sdk: what each needs, how it is run, and what it must say.

all=(pubsub http/pubsub invocation configuration distributedLock)

packages() {
    [[ ! -d $cache/node_modules ]] || return 0
    echo '{}' >"$cache/package.json"
    npm install --prefix "$cache" --silent --no-audit --no-fund @dapr/dapr@3.18.0 typescript@4 @types/node@15
}

# Compiles an example, as its package does, beside the published SDK, and runs it.
node_example() { # NAME FOLDER
    local built=$cache/built/$1
    mkdir -p "$built"
    # The compiler warns of what examples and today's SDK see differently, and emits the program nevertheless.
    "$cache/node_modules/.bin/tsc" --target es2020 --module commonjs --moduleResolution node --esModuleInterop \
        --skipLibCheck --outDir "$built" "$2/src/index.ts" >/dev/null || true
    run "$1" node "$built/index.js"
}

pubsub() {
    on_redis my-pubsub-component pubsub.redis
    up example-pubsub app=50051
    node_example app .
    local received="[Dapr-JS][Example] Received on subscription:" one
    expect app "$received \"hello, world!\"" "$received {\"hello\":\"world\"}" "Bulk publish response" \
        'Bulk publish response: {"failedMessages":[]}'
    for one in '"message 1"' '"message 3"' '{"hello":"message 1"}' '{"hello":"foo message 1"}' '"foo message 2"' \
        '"foo message 3"'; do
        expect app "$received $one"
    done
}

http_pubsub() {
    on_redis my-pubsub-component pubsub.redis
    up app app=50001 http=50000 grpc=50002
    node_example app .
    expect app 'Received: {"hello":"world"}'
}

invocation() {
    up example-invocation app=50051
    node_example app .
    # The SDK gives the body as text, which the example shows as JSON.
    expect app 'Received: "{\"hello\":\"world\"}" as body on POST hello-world' \
        '"x-application-type":"examples/invocation"' \
        'Response to POST request: {"hello":"world received from POST"}' "Received on GET hello-world" \
        'Response to GET request: {"hello":"world received from GET"}'
}

configuration() {
    resources components/*.yaml
    redis-cli mset key1 "value1||1" key2 "value2||1" >/dev/null
    up example-config
    node_example app .
    expect app "value: 'value1'" "value: 'value2'" "Subscribing to config store updates..."
    # The example does not say when it has subscribed.
    local tries=100
    until grep -q "Subscribe received updates" "$work/app.log" || ((--tries == 0)); do
        redis-cli set key1 "value$tries||2" >/dev/null
        sleep 0.3
    done
    expect app "Subscribe received updates from config store:" "key1"
}

distributedLock() {
    resources UnLockApplication/components/*.yaml
    up trylock
    node_example app TryLockApplication
    expect app "Acquiring lock on redislock, resourceId as owner: owner1" "{ success: true }" \
        "Unlock API response: Success" "Unlock API response when lock is not acquired: LockDoesNotExist" \
        "Acquired Lock? true"
}
