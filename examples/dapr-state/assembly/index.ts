// Saves two values to Dapr's state store, reads them back, and says what it did.

import { Dapr, Failure, Operation } from 'sampan-dapr-client/assembly'

const STORE = 'statestore'
const KEYS = ['weapon', 'planets']
const VALUES = ['"Death Star"', '["Alderaan","Tatooine","Hoth"]']

function stop(what: string, failure: Failure): void {
  process.stderr.write(what + ': ' + failure.toString() + '\n')
  process.exit(1)
}

function main(): void {
  const state = Dapr.of(process.env).state(STORE)

  const operations = new Array<Operation>()
  for (let i = 0; i < KEYS.length; i++) operations.push(Operation.save(KEYS[i], VALUES[i]))
  const failure = state.save(operations)
  if (failure !== null) stop('cannot save', failure)
  console.log('saved ' + KEYS.join(' and ') + ' to ' + STORE)

  for (let i = 0; i < KEYS.length; i++) {
    const found = state.get(KEYS[i])
    const failure = found.failure
    if (failure !== null) stop('cannot read ' + KEYS[i], failure)
    const entry = found.value
    const value = entry === null ? 'nothing' : entry.value
    console.log('read ' + KEYS[i] + ': ' + value)
    if (value != VALUES[i]) {
      process.stderr.write('expected ' + VALUES[i] + '\n')
      process.exit(1)
    }
  }
  console.log('Test successfully!')
}

main()
