// Dapr's API for AssemblyScript: state, publish, secrets and invocation.
export { Dapr } from './dapr'
export { State, Operation, Entry, BulkEntry } from './state'
export { Event } from './pubsub'
export { Failure, Outcome } from './outcome'
export { Response, Header } from './http'
export { parse, quote, Member } from './json'
