# The app behind Sampan by the gRPC extension of PyPI's dapr, and a client beside it. Arguments: the app's port.
import json
import os
import queue
import sys
import threading
import urllib.error
import urllib.request

from dapr.clients import DaprClient
from dapr.clients.grpc._response import TopicEventResponse
from dapr.ext.grpc import App, BindingRequest, InvokeMethodRequest, InvokeMethodResponse, SubscriptionMessage
from dapr.proto import api_v1, common_v1
from google.protobuf.any_pb2 import Any

app = App()
seen = queue.Queue()
ticks = queue.Queue()
dapr_port = os.environ['DAPR_HTTP_PORT']


@app.method('echo')
def echo(request: InvokeMethodRequest) -> InvokeMethodResponse:
    seen.put(('metadata', dict(request.metadata)))
    return InvokeMethodResponse(request.data, request.content_type, headers=(('x-from', 'app'),))


@app.subscribe(pubsub_name='pubsub', topic='one')
def one(event: SubscriptionMessage) -> TopicEventResponse:
    seen.put(('one', event.data()))
    return TopicEventResponse('success')


@app.subscribe(pubsub_name='pubsub', topic='drops', dead_letter_topic='dead')
def drops(event: SubscriptionMessage) -> TopicEventResponse:
    return TopicEventResponse('drop')


@app.subscribe(pubsub_name='pubsub', topic='dead')
def dead(event: SubscriptionMessage) -> TopicEventResponse:
    seen.put(('dead', event.data(), event.extensions()['topic']))
    return TopicEventResponse('success')


@app.binding('tick')
def tick(request: BindingRequest):
    ticks.put(request.text())


def http(path, data=None):
    request = urllib.request.Request(f'http://127.0.0.1:{dapr_port}{path}', data=data)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def saw(what):
    got = seen.get(timeout=30)
    assert got == what, (got, what)


threading.Thread(target=app.run, args=(int(sys.argv[1]),), daemon=True).start()
while len(json.loads(http('/v1.0/metadata')[2])['subscriptions']) < 3:
    pass

with DaprClient() as client:
    client.publish_event('pubsub', 'one', '{"n": 1}', data_content_type='application/json')
    saw(('one', {'n': 1}))
    client.publish_event('pubsub', 'drops', 'lost', data_content_type='text/plain')
    saw(('dead', 'lost', 'drops'))
    assert ticks.get(timeout=30) == ''

    # Over HTTP to an app that speaks gRPC.
    answer = client.invoke_method('shop', 'echo', b'{"n": 1}', 'application/json', http_verb='PUT')
    assert (answer.status_code, answer.data, answer.content_type) == (200, b'{"n": 1}', 'application/json')
    name, metadata = seen.get(timeout=30)
    assert name == 'metadata' and metadata['dapr-caller-app-id'] == ['shop'], metadata
    assert 'traceparent' in metadata and 'dapr-host' in metadata, metadata
    status, headers, body = http('/v1.0/invoke/shop/method/echo?a=b', b'text')
    assert (status, headers['x-from'], body) == (200, 'app', b'text'), (status, headers, body)
    seen.get(timeout=30)
    status, _, body = http('/v1.0/invoke/shop/method/missing', b'')
    assert (status, json.loads(body)['code']) == (501, 12), (status, body)

    # Over gRPC, by the call that Dapr has deprecated.
    message = common_v1.InvokeRequest(method='echo', data=Any(value=b'abc'), content_type='text/plain')
    answer = client._stub.InvokeService(api_v1.InvokeServiceRequest(id='shop', message=message))
    assert (answer.data.value, answer.content_type) == (b'abc', 'text/plain'), answer
print('done', flush=True)
# The server's thread would be waited for.
os._exit(0)
