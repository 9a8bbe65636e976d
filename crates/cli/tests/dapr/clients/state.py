# State by PyPI's dapr, over gRPC. Arguments: STORE.
import sys

from dapr.clients import DaprClient
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.clients.grpc._state import Concurrency, Consistency, StateItem, StateOptions
from grpc import RpcError, StatusCode

store = sys.argv[1]
first_write = StateOptions(concurrency=Concurrency.first_write, consistency=Consistency.strong)


def fails(code, call):
    try:
        call()
    except RpcError as error:
        assert error.code() == code, error
        return error
    raise AssertionError('it does not fail')


with DaprClient() as client:
    client.save_state(store, 'one', '{"n": 1.10}')
    got = client.get_state(store, 'one')
    assert got.data == b'{"n": 1.10}' and got.etag, (got.data, got.etag)
    client.save_state(store, 'bytes', b'\x00\xff')
    assert client.get_state(store, 'bytes').data == b'\x00\xff'
    assert client.get_state(store, 'absent').data == b''

    client.save_state(store, 'one', 'two', etag=got.etag, options=first_write)
    assert client.get_state(store, 'one').etag != got.etag
    fails(StatusCode.ABORTED, lambda: client.save_state(store, 'one', 'x', etag=got.etag, options=first_write))
    fails(StatusCode.ABORTED, lambda: client.delete_state(store, 'one', etag=got.etag, options=first_write))
    client.save_state(store, 'new', 'x', options=first_write)
    fails(StatusCode.ABORTED, lambda: client.save_state(store, 'new', 'x', options=first_write))

    client.save_bulk_state(store, [StateItem(key='a', value='1'), StateItem(key='b', value='2')])
    items = client.get_bulk_state(store, ['a', 'b', 'absent'], parallelism=2).items
    assert {item.key: item.data for item in items} == {'a': b'1', 'b': b'2', 'absent': b''}, items

    upsert, delete = TransactionOperationType.upsert, TransactionOperationType.delete
    client.execute_state_transaction(store, [
        TransactionalStateOperation(operation_type=upsert, key='a', data='3'),
        TransactionalStateOperation(operation_type=delete, key='b'),
    ])
    assert client.get_state(store, 'a').data == b'3' and client.get_state(store, 'b').data == b''

    client.save_state(store, 'short', 'x', state_metadata={'ttlInSeconds': '100'})
    assert client.get_state(store, 'short').data == b'x'
    client.delete_state(store, 'a')
    assert client.get_state(store, 'a').data == b''

    refused = fails(StatusCode.INVALID_ARGUMENT, lambda: client.save_state(store, 'a||b', 'x'))
    details = refused.status_details()
    assert details.error_info['reason'] == 'DAPR_STATE_ILLEGAL_KEY', details.as_dict()
    assert details.resource_info['resource_name'] == store, details.as_dict()
    assert details.bad_request['field_violations'][0]['field'] == 'a||b', details.as_dict()
    fails(StatusCode.INVALID_ARGUMENT, lambda: client.get_state('other', 'a'))
    if len(sys.argv) > 2:
        client.save_bulk_state(store, [StateItem(key='p', value='{"age": 1}'), StateItem(key='q', value='{"age": 2}')])
        found = client.query_state(store, '{"filter": {"EQ": {"age": 2}}}').results
        assert [item.key for item in found] == ['q'], found
print('done')
