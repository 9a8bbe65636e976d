# Publishing, and subscribing by a stream, by PyPI's dapr. Arguments: PUBSUB.
import sys

from dapr.clients import DaprClient

pubsub = sys.argv[1]
with DaprClient() as client:
    events = client.subscribe(pubsub, 'topic')
    client.publish_event(pubsub, 'topic', '{"n": 1}', data_content_type='application/json')
    event = events.next_message()
    assert event.data() == {'n': 1}, event.data()
    events.respond_success(event)
    failed = client.publish_events(pubsub, 'topic', ['a', 'b'], data_content_type='text/plain').failed_entries
    assert not failed, failed
    seen = []
    while len(seen) < 2:
        event = events.next_message()
        if event is not None:
            seen.append(event.data())
            events.respond_success(event)
    assert sorted(seen) == ['a', 'b'], seen
    events.close()
print('done')
