// Where Dapr is, and its building blocks.

import { Header, Response, send } from './http'
import { parse, unquote } from './json'
import { Failure, Outcome } from './outcome'
import { Event, bulkBody } from './pubsub'
import { State } from './state'

export class Dapr {
  /** `token` is shown to whoever checks one. */
  constructor(private endpoint: string = 'http://127.0.0.1:3500', private token: string = '') {}

  /** Dapr where the environment says it is, such as `Dapr.of(process.env)`. */
  static of(env: Map<string, string>): Dapr {
    const token = env.has('DAPR_API_TOKEN') ? env.get('DAPR_API_TOKEN') : ''
    if (env.has('DAPR_HTTP_ENDPOINT')) return new Dapr(env.get('DAPR_HTTP_ENDPOINT'), token)
    const port = env.has('DAPR_HTTP_PORT') ? env.get('DAPR_HTTP_PORT') : '3500'
    return new Dapr('http://127.0.0.1:' + port, token)
  }

  /** A state store, by its component's name. */
  state(store: string): State {
    return new State(this, store)
  }

  /** Publishes an event. Null says that the broker has it. */
  publish(pubsub: string, topic: string, event: Event): Failure | null {
    let path = '/v1.0/publish/' + encodeURIComponent(pubsub) + '/' + encodePath(topic)
    const names = event.metadata.keys()
    for (let i = 0; i < names.length; i++) {
      path += (i == 0 ? '?' : '&') + 'metadata.' + encodeURIComponent(names[i])
      path += '=' + encodeURIComponent(event.metadata.get(names[i]))
    }
    return this.accepted('POST', path, event.contentType, event.data).failure
  }

  /** Publishes many events in one call. */
  publishBulk(pubsub: string, topic: string, events: Event[]): Failure | null {
    const path = '/v1.0/publish/bulk/' + encodeURIComponent(pubsub) + '/' + encodePath(topic)
    return this.accepted('POST', path, 'application/json', bulkBody(events)).failure
  }

  /** The values of a secret; most stores have one, under the secret's own name. */
  secret(store: string, name: string): Outcome<Map<string, string>> {
    const path = '/v1.0/secrets/' + encodeURIComponent(store) + '/' + encodeURIComponent(name)
    const outcome = this.accepted('GET', path, '', '')
    if (!outcome.ok) return new Outcome(new Map<string, string>(), outcome.failure)
    return new Outcome(textsOf(outcome.value.text()), null)
  }

  /** All secrets of a store that the app may have, by their names. */
  secrets(store: string): Outcome<Map<string, Map<string, string>>> {
    const outcome = this.accepted('GET', '/v1.0/secrets/' + encodeURIComponent(store) + '/bulk', '', '')
    const all = new Map<string, Map<string, string>>()
    if (!outcome.ok) return new Outcome(all, outcome.failure)
    const members = parse(outcome.value.text())
    for (let i = 0; i < members.length; i++) all.set(members[i].name, textsOf(members[i].value))
    return new Outcome(all, null)
  }

  /** Calls an app by its id; `path` may have a query. The app's answer comes back as it is. */
  invoke(
    method: string, app: string, path: string, contentType: string = '', body: string = '',
  ): Outcome<Response> {
    const start = path.startsWith('/') ? path.substring(1) : path
    return this.send(method, '/v1.0/invoke/' + encodeURIComponent(app) + '/method/' + start, contentType, body)
  }

  /** An answer; a failure where its status is an error. For parts of the API that are not here. */
  accepted(method: string, path: string, contentType: string, body: string): Outcome<Response> {
    const outcome = this.send(method, path, contentType, body)
    if (!outcome.ok || outcome.value.ok) return outcome
    return new Outcome(outcome.value, Failure.ofResponse(outcome.value))
  }

  /** An answer, whatever its status is. */
  send(method: string, path: string, contentType: string, body: string): Outcome<Response> {
    const headers = new Array<Header>()
    if (contentType.length > 0) headers.push(new Header('content-type', contentType))
    if (this.token.length > 0) headers.push(new Header('dapr-api-token', this.token))
    return send(method, this.endpoint + path, headers, String.UTF8.encode(body))
  }
}

/** The members of an object of texts. */
function textsOf(json: string): Map<string, string> {
  const values = new Map<string, string>()
  const members = parse(json)
  for (let i = 0; i < members.length; i++) values.set(members[i].name, unquote(members[i].value))
  return values
}

/** A topic, whose slashes are part of the path. */
function encodePath(topic: string): string {
  const parts = topic.split('/')
  for (let i = 0; i < parts.length; i++) parts[i] = encodeURIComponent(parts[i])
  return parts.join('/')
}
