// Events, one and many.

import { quote } from './json'

/** An event to be published. */
export class Event {
  /** Metadata such as `ttlInSeconds`, `rawPayload` and `cloudevent.type`. */
  readonly metadata: Map<string, string> = new Map<string, string>()

  constructor(
    /** Tells the entries of a bulk apart. */
    readonly id: string,
    /** JSON where the content type says so, else text. */
    readonly data: string,
    readonly contentType: string = 'application/json',
  ) {}

  with(name: string, value: string): Event {
    this.metadata.set(name, value)
    return this
  }
}

export function bulkBody(events: Event[]): string {
  let body = '['
  for (let i = 0; i < events.length; i++) {
    const event = events[i]
    const json = event.contentType.startsWith('application/json') || event.contentType.endsWith('+json')
    if (i > 0) body += ','
    body += '{"entryId":' + quote(event.id) + ',"event":' + (json ? event.data : quote(event.data))
    body += ',"contentType":' + quote(event.contentType) + ',"metadata":' + texts(event.metadata) + '}'
  }
  return body + ']'
}

/** An object of texts. */
export function texts(map: Map<string, string>): string {
  const names = map.keys()
  let body = '{'
  for (let i = 0; i < names.length; i++) {
    body += (i > 0 ? ',' : '') + quote(names[i]) + ':' + quote(map.get(names[i]))
  }
  return body + '}'
}
