// Uses every call of the library once, and says what came back.

import { BulkEntry, Dapr, Event, Failure, Operation, parse, quote } from 'sampan-dapr-client/assembly'

const dapr = Dapr.of(process.env)
const state = dapr.state('statestore')

function said(what: string, failure: Failure | null): void {
  console.log(what + (failure === null ? ': done' : ': ' + failure.toString()))
}

/** A value as it is stored, or that there is none. */
function value(key: string): string {
  const found = state.get(key)
  const failure = found.failure
  if (failure !== null) return failure.toString()
  const entry = found.value
  return entry === null ? 'nothing' : entry.value
}

function states(): void {
  said('save', state.save([Operation.save('one', '{"n": 1.50}'), Operation.save('two', quote('zw\u00f6lf "2"'))]))
  console.log('one: ' + value('one') + ', two: ' + value('two') + ', absent: ' + value('absent'))
  const first = state.get('one').value!.etag
  said('over the first version', state.save([Operation.save('one', '2').over(first)]))
  const stale = state.save([Operation.save('one', '3').over(first)])
  console.log('over it again: conflict ' + (stale !== null && stale.isConflict).toString())
  const late = state.save([Operation.save('one', '4').firstWrite()])
  console.log('first write: conflict ' + (late !== null && late.isConflict).toString())
  said('expiring', state.save([Operation.save('short', '5').expiring(100)]))
  said('transaction', state.transaction([Operation.save('three', '[3]'), Operation.remove('two')]))
  const bulk = state.bulk(['one', 'two', 'three'])
  const entries = bulk.value
  entries.sort((a, b) => (a.key < b.key ? -1 : 1))
  let line = ''
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i].entry
    line += ' ' + entries[i].key + '=' + (entry === null ? 'nothing' : entry.value)
  }
  console.log('bulk:' + line)
  said('remove', state.remove('one'))
  console.log('one: ' + value('one'))
  said('a key that cannot be', state.remove('a||b'))
}

function others(): void {
  said('publish', dapr.publish('pubsub', 'a/b', new Event('1', '{"n":1}').with('ttlInSeconds', '60')))
  said('publish text', dapr.publishBulk('pubsub', 't', [new Event('1', 'a "text"', 'text/plain'), new Event('2', '2')]))
  said('publish nowhere', dapr.publish('none', 't', new Event('1', '1')))
  console.log('secret: ' + dapr.secret('secrets', 'password').value.get('password'))
  const all = dapr.secrets('secrets').value
  console.log('secrets: ' + all.size.toString() + ', ' + all.get('user').get('user'))
  const none = dapr.secret('secrets', 'none').failure
  console.log('no secret: ' + (none === null ? 'none' : none.errorCode))
  const answer = dapr.invoke('PUT', 'partner', 'a/b?c=d', 'text/plain', 'ahoy')
  console.log('invoke: ' + answer.value.status.toString() + ' ' + answer.value.text())
  console.log('header: ' + answer.value.header('X-From'))
  const metadata = dapr.accepted('GET', '/v1.0/metadata', '', '').value
  console.log('metadata: ' + parse(metadata.text()).length.toString() + ' members')
  console.log('send: ' + dapr.send('GET', '/v1.0/state/other/a', '', '').value.status.toString())
}

states()
others()
