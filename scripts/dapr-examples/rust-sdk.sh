# shellcheck shell=bash disable=SC2034
# The examples of dapr/rust-sdk: what each needs, how it is run, and what it must say.

all=(src/client src/configuration src/secrets-bulk src/pubsub src/bindings)

# Compiles the examples with the published crates, in a package of their own.
packages() {
    local source
    {
        printf '[package]\nname = "examples"\nedition = "2021"\n[workspace]\n[dependencies]\n'
        printf 'dapr = { version = "=0.20.0", default-features = false }\ndapr-macros = "=0.20.0"\n'
        printf 'tokio = { version = "1", features = ["full"] }\ntokio-stream = "0.1"\ntonic = "0.14"\nprost = "0.14"\nserde = "1"\nserde_json = "1"\n'
        for source in client/client configuration/main secrets-bulk/app pubsub/{publisher,subscriber} \
            bindings/output; do
            printf '[[bin]]\nname = "%s"\npath = "%s/src/%s.rs"\n' "${source//\//-}" "$examples" "$source"
        done
    } >"$cache/Cargo.toml"
    RUSTFLAGS=-Awarnings cargo build --quiet --manifest-path "$cache/Cargo.toml" --target-dir "$cache/target"
}

example() { # NAME BIN
    run "$1" "$cache/target/debug/$2"
}

src_client() {
    on_redis statestore state.redis
    up rustapp
    example app client-client
    expect app "Successfully saved!" 'Value is "world"' "Deleted value: []"
}

src_configuration() {
    on_redis configstore configuration.redis
    redis-cli set hello world >/dev/null
    up rustapp
    example app configuration-main
    expect app 'value: "world"' "App subscribed to config changes with subscription id:"
    redis-cli set hello again >/dev/null
    expect app 'value: "again"' "App unsubscribed from config changes"
}

src_secrets-bulk() {
    printf '{"first": "1", "second": "2"}' >"$work/secrets.json"
    component localsecretstore secretstores.local.file secretsFile "$work/secrets.json"
    up rustapp
    example app secrets-bulk-app
    expect app "Found first with value: 1" "Found second with value: 2"
}

src_pubsub() {
    on_redis pubsub pubsub.redis
    up rust-subscriber app=50051 protocol=grpc
    example subscriber pubsub-subscriber
    example publisher pubsub-publisher
    expect subscriber "Topic A - Order {" 'order_details: "Count is 9"' "Topic B - Refund {" "order_number: 9"
    expect publisher "messages published"
}

# `binding-example` is Kafka's: here files.
src_bindings() {
    mkdir "$work/files"
    component binding-example bindings.localstorage rootPath "$work/files"
    up rust-output-b
    example output bindings-output
    local tries=300
    until [[ $(find "$work/files" -type f | wc -l) -eq 10 ]] || ((--tries == 0)); do
        sleep 0.1
    done
    grep -qx "9 => hello from rust!" "$work"/files/* || fail "FAILED: not all messages are there"
}
