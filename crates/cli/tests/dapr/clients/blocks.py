# Secrets, configuration, locks, bindings, metadata and invocation by PyPI's dapr. Arguments: the port of Redis.
import queue
import subprocess
import sys

from dapr.clients import DaprClient
from dapr.clients.grpc._response import UnlockResponseStatus

redis = sys.argv[1]

with DaprClient() as client:
    assert client.get_secret('secrets', 'password').secret == {'password': 's3cret'}
    assert client.get_bulk_secret('secrets').secrets == {'password': {'password': 's3cret'}}

    locks = lambda owner: client.try_lock('locks', 'resource', owner, expiry_in_seconds=60)
    with locks('ada') as held:
        assert held.success
        assert not locks('bob').success
        assert client.unlock('locks', 'resource', 'bob').status == UnlockResponseStatus.lock_belongs_to_others
    assert client.unlock('locks', 'resource', 'ada').status == UnlockResponseStatus.lock_does_not_exist

    answer = client.invoke_binding('http', 'post', b'{"n": 1}')
    assert answer.data == b'POST / 8', answer.data

    client.set_metadata('color', 'blue')
    metadata = client.get_metadata()
    assert metadata.application_id == 'shop' and metadata.extended_metadata['color'] == 'blue'
    assert 'locks' in [component.name for component in metadata.registered_components]

    answer = client.invoke_method('shop', 'a/b', data=b'body', http_verb='PUT', content_type='text/plain')
    assert answer.text() == 'PUT /a/b 4', answer.text()

    changes = queue.Queue()
    item = client.get_configuration('config', ['color']).items['color']
    assert (item.value, item.version) == ('blue', '3'), item
    watch = client.subscribe_configuration('config', ['color'], lambda _, change: changes.put(change))
    subprocess.run(['redis-cli', '-p', redis, 'SET', 'color', 'red||4'], check=True, stdout=subprocess.DEVNULL)
    while True:
        change = changes.get(timeout=30)
        if change.items:
            break
    assert change.items['color'].value == 'red', change.items
    assert client.unsubscribe_configuration('config', watch)
print('done')
