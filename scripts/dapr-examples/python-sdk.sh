# shellcheck shell=bash disable=SC2034
# The examples of dapr/python-sdk: what each needs, how it is run, and what it must say.

all=(
    state_store error_handling pubsub-simple pubsub-streaming invoke-simple invoke-http invoke-custom-data
    invoke-binding secret_store configuration distributed_lock metadata grpc_proxying w3c-tracing
)

packages() {
    [[ -d $cache/dapr ]] || python3 -m pip install --quiet --only-binary=:all: --target "$cache" \
        'dapr==1.19.0' 'cloudevents<2' flask opentelemetry-sdk opentelemetry-exporter-zipkin-json \
        opentelemetry-instrumentation-grpc
    export PYTHONPATH=$cache PYTHONDONTWRITEBYTECODE=1
}

python() { # NAME SCRIPT [ARGUMENT]...
    local name=$1
    shift
    run "$name" python3 -u "$@"
}

state_store() {
    on_redis statestore state.redis
    up stateapp
    python app state_store.py
    expect app "State store has successfully saved value_1 with key_1 as key" \
        "Cannot save due to bad etag. ErrorCode=StatusCode.ABORTED" \
        "State store has successfully saved value_2 with key_2 as key" \
        "State store has successfully saved value_3 with key_3 as key" \
        "Cannot save bulk due to bad etags. ErrorCode=StatusCode.ABORTED" \
        "Got value=b'value_1' eTag=1" \
        "Got items with etags: [(b'value_1_updated', '2'), (b'value_2', '2')]" \
        "Got value after delete: b''"
}

error_handling() {
    on_redis statestore state.redis
    up app
    python app error_handling.py
    expect app "Status code: StatusCode.INVALID_ARGUMENT" \
        "Message: input key/keyPrefix 'key||' can't contain '||'" "Error code: DAPR_STATE_ILLEGAL_KEY" \
        "Error info(reason): DAPR_STATE_ILLEGAL_KEY" "Resource info (resource type): state" \
        "Resource info (resource name): statestore" "Bad request (field): key||" \
        "Bad request (description): input key/keyPrefix 'key||' can't contain '||'" \
        '"error_info": {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "DAPR_STATE_ILLEGAL_KEY"'
}

pubsub-simple() {
    on_redis pubsub pubsub.redis
    up python-subscriber app=50051 protocol=grpc
    python subscriber subscriber.py
    python publisher publisher.py
    local id hello='message="hello world", content_type="application/json"'
    for id in 1 2 3; do
        expect subscriber "Subscriber received: id=$id, $hello"
    done
    for id in 4 5 6; do
        expect subscriber "Wildcard-Subscriber received: id=$id, $hello"
    done
    expect subscriber "Dead-Letter Subscriber received: id=7, $hello" \
        "Dead-Letter Subscriber. Received via deadletter topic: TOPIC_D_DEAD" \
        "Dead-Letter Subscriber. Originally intended topic: TOPIC_D"
}

pubsub-streaming() {
    on_redis pubsub pubsub.redis
    up python-subscriber
    local script topic id
    for script in subscriber subscriber-handler; do
        topic=TOPIC_$script
        python "$script" "$script.py" "--topic=$topic"
        python publisher publisher.py "--topic=$topic"
        for id in 1 2 3 4 5; do
            expect "$script" "Processing message: {'id': $id, 'message': 'hello world'} from $topic..."
        done
        expect "$script" "Closing subscription..."
    done
}

invoke-simple() {
    up invoke-receiver app=50051 protocol=grpc
    python receiver invoke-receiver.py
    until listens 50051; do sleep 0.1; done
    python caller invoke-caller.py
    expect receiver '{"id": 1, "message": "hello world"}'
    expect caller text/plain INVOKE_RECEIVED 200
}

invoke-http() {
    up invoke-receiver app=8088
    python receiver invoke-receiver.py
    until listens 8088; do sleep 0.1; done
    python caller invoke-caller.py
    expect receiver 'Order received : {"id": 1, "message": "hello world"}'
    expect caller '{"success": true}' 200
}

invoke-custom-data() {
    up invoke-receiver app=50051 protocol=grpc
    python receiver invoke-receiver.py
    until listens 50051; do sleep 0.1; done
    python caller invoke-caller.py
    expect receiver SOME_DATA
    expect caller "isSuccess: true" "code: 200" 'message: "Hello World - Success!"'
}

# The component's name is kafkaBinding; here a schedule is the input and a folder the output.
invoke-binding() {
    component kafkaBinding bindings.cron schedule "@every 1s"
    up receiver app=50051 protocol=grpc
    python receiver invoke-input-binding.py
    local tries=100
    until [[ -s $work/receiver.log ]] || ((--tries == 0)); do sleep 0.1; done
    [[ -z $(tr -d '\n' <"$work/receiver.log") && $tries -gt 0 ]] || expect receiver "an empty line for each tick"
    begin invoke-binding
    mkdir "$work/messages"
    component kafkaBinding bindings.localstorage rootPath "$work/messages"
    up sender
    python sender invoke-output-binding.py
    expect sender 'Sending message id: 3, message "hello world"'
    grep -q '"id": 2' "$work"/messages/*
}

secret_store() {
    resources components/*.yaml
    up secretsapp
    python app example.py
    expect app "{'secretKey': 'secretValue'}" "{'random': 'randomValue'}" \
        "[('random', {'random': 'randomValue'}), ('secretKey', {'secretKey': 'secretValue'})]"
    begin secret_store
    resources components/*.yaml config.yaml
    up secretsapp
    python app example.py
    expect app "{'secretKey': 'secretValue'}" "[('secretKey', {'secretKey': 'secretValue'})]" \
        "Got expected error for accessing random key"
}

configuration() {
    resources components/*.yaml
    redis-cli mset orderId1 "100||1" orderId2 "200||1" >/dev/null
    up configexample
    python app configuration.py
    expect app "Got key=orderId1 value=100 version=1 metadata={}" "Got key=orderId2 value=200 version=1 metadata={}" \
        "Subscription ID is"
    redis-cli mset orderId1 "103||2" orderId2 "203||2" >/dev/null
    expect app "Subscribe key=orderId1 value=103 version=2 metadata={}" \
        "Subscribe key=orderId2 value=203 version=2 metadata={}" "Unsubscribed successfully? True"
}

distributed_lock() {
    resources components/*.yaml
    up locksapp
    python app lock.py
    expect app "Lock acquired successfully!!!" "We already released the lock so unlocking will not work." \
        "We tried to unlock it anyway and got back [UnlockResponseStatus.lock_does_not_exist]"
}

metadata() {
    on_redis lockstore lock.redis
    on_redis pubsub pubsub.redis
    on_redis statestore state.redis
    up my-metadata-app
    python app app.py
    expect app "application_id: my-metadata-app" "active_actors_count: {}" "name=lockstore type=lock.redis" \
        "name=pubsub type=pubsub.redis version=v1" "name=statestore type=state.redis version=v1" \
        "We added a custom label named [is-this-our-metadata-example]" \
        "Its old value was [yes] but now it is [You bet it is!]" "And we are done"
}

grpc_proxying() {
    up invoke-receiver app=50051 protocol=grpc grpc=50007
    python receiver invoke-receiver.py
    until listens 50051; do sleep 0.1; done
    python caller invoke-caller.py
    expect caller "Greeter client received: Hello, you!"
}

w3c-tracing() {
    up invoke-receiver app=3001 protocol=grpc
    python receiver invoke-receiver.py
    until listens 3001; do sleep 0.1; done
    python caller invoke-caller.py
    expect caller application/json SAY text/plain SLEEP "Trace ID matches after forwarding"
}
