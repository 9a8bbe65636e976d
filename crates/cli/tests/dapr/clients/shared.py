# A key that somebody else wrote, and one for somebody else. Arguments: STORE.
import sys

from dapr.clients import DaprClient

store = sys.argv[1]

with DaprClient() as client:
    found = client.get_state(store, 'guest')
    assert found.data == b'of the guest' and found.etag, (found.data, found.etag)
    client.save_state(store, 'sdk', '{"of": "the SDK"}')
print('done')
