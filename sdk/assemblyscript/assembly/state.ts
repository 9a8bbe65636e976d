// State: values by keys. A value is JSON in its exact text.

import { Dapr } from './dapr'
import { member, memberText, parse, quote } from './json'
import { Failure, Outcome } from './outcome'
import { texts } from './pubsub'
import { Response } from './http'

/** A stored value: JSON as it is stored, with the etag that names its version. */
export class Entry {
  constructor(readonly value: string, readonly etag: string) {}
}

/** An answer of a bulk: `entry` is null where the key has no value. */
export class BulkEntry {
  constructor(readonly key: string, readonly entry: Entry | null, readonly error: string) {}
}

/** A write: of a value, or of its absence. */
export class Operation {
  private etag: string = ''
  private firstWriteWins: bool = false
  private metadata: Map<string, string> = new Map<string, string>()

  constructor(readonly key: string, readonly value: string, readonly deletes: bool) {}

  /** Writes JSON; `quote` makes JSON of a text. */
  static save(key: string, json: string): Operation {
    return new Operation(key, json, false)
  }

  static remove(key: string): Operation {
    return new Operation(key, '', true)
  }

  /** Only over the version with this etag. */
  over(etag: string): Operation {
    this.etag = etag
    return this.firstWrite()
  }

  /** The first of two writers wins. */
  firstWrite(): Operation {
    this.firstWriteWins = true
    return this
  }

  /** The value goes after so many seconds. */
  expiring(seconds: u32): Operation {
    this.metadata.set('ttlInSeconds', seconds.toString())
    return this
  }

  toJson(): string {
    let body = '{"key":' + quote(this.key)
    if (!this.deletes) body += ',"value":' + this.value
    if (this.etag.length > 0) body += ',"etag":' + quote(this.etag)
    if (this.metadata.size > 0) body += ',"metadata":' + texts(this.metadata)
    if (this.firstWriteWins) body += ',"options":{"concurrency":"first-write"}'
    return body + '}'
  }
}

/** A state store, by its component's name. */
export class State {
  constructor(private dapr: Dapr, private store: string) {}

  /** A value with its etag; null where the key has none. */
  get(key: string): Outcome<Entry | null> {
    const outcome = this.dapr.accepted('GET', this.path(key), '', '')
    const response = outcome.value
    if (!outcome.ok || response.status == 204) return new Outcome<Entry | null>(null, outcome.failure)
    return new Outcome<Entry | null>(new Entry(response.text(), response.header('etag')), null)
  }

  /** Writes values, each by itself. Null says that all are written. */
  save(operations: Operation[]): Failure | null {
    let body = '['
    for (let i = 0; i < operations.length; i++) body += (i > 0 ? ',' : '') + operations[i].toJson()
    return this.post('', body + ']').failure
  }

  /** Deletes a key, whether it is there or not. */
  remove(key: string): Failure | null {
    return this.dapr.accepted('DELETE', this.path(key), '', '').failure
  }

  /** The values of several keys, in no order. */
  bulk(keys: string[]): Outcome<BulkEntry[]> {
    let body = '{"keys":['
    for (let i = 0; i < keys.length; i++) body += (i > 0 ? ',' : '') + quote(keys[i])
    const outcome = this.post('/bulk', body + ']}')
    const entries = new Array<BulkEntry>()
    if (!outcome.ok) return new Outcome(entries, outcome.failure)
    const items = parse(outcome.value.text())
    for (let i = 0; i < items.length; i++) {
      const item = items[i].value
      const data = member(item, 'data')
      const entry = data.length > 0 ? new Entry(data, memberText(item, 'etag')) : null
      entries.push(new BulkEntry(memberText(item, 'key'), entry, memberText(item, 'error')))
    }
    return new Outcome(entries, null)
  }

  /** Does all or nothing, in this order, where the store can. */
  transaction(operations: Operation[]): Failure | null {
    let body = '{"operations":['
    for (let i = 0; i < operations.length; i++) {
      const kind = operations[i].deletes ? 'delete' : 'upsert'
      body += (i > 0 ? ',' : '') + '{"operation":"' + kind + '","request":' + operations[i].toJson() + '}'
    }
    return this.post('/transaction', body + ']}').failure
  }

  private post(rest: string, body: string): Outcome<Response> {
    const path = '/v1.0/state/' + encodeURIComponent(this.store) + rest
    return this.dapr.accepted('POST', path, 'application/json', body)
  }

  private path(key: string): string {
    return '/v1.0/state/' + encodeURIComponent(this.store) + '/' + encodeURIComponent(key)
  }
}
