// What a program imports: the names are those of Easegress's AssemblyScript SDK.
import * as host from './host'
import { textFrom, toData, toText } from './memory'

export { Program, registerProgramFactory } from './program'
export { getUnixTimeInMs, rand } from './host'

export namespace request {
  export function getHeader(name: string): string {
    return textFrom(host.reqGetHeader(toText(name)))
  }
}

export namespace response {
  export function setBody(body: ArrayBuffer): void {
    host.respSetBody(toData(body))
  }
}

export namespace cluster {
  export function getString(key: string): string {
    return textFrom(host.clusterGetString(toText(key)))
  }

  export function putString(key: string, value: string): void {
    host.clusterPutString(toText(key), toText(value))
  }

  export function getInteger(key: string): i64 {
    return host.clusterGetInteger(toText(key))
  }

  export function addInteger(key: string, more: i64): i64 {
    return host.clusterAddInteger(toText(key), more)
  }
}

// Unix time in milliseconds of `2021-08-08T00:00:00+00:00`; without an offset it is UTC.
export function parseDate(text: string): i64 {
  return Date.UTC(number(text, 0, 4), number(text, 5, 7) - 1, number(text, 8, 10),
    number(text, 11, 13), number(text, 14, 16), number(text, 17, 19)) - offset(text)
}

function number(text: string, from: i32, to: i32): i32 {
  return i32(parseInt(text.substring(from, to), 10))
}

function offset(text: string): i64 {
  const sign = text.charAt(19)
  if (sign != '+' && sign != '-') return 0
  const minutes = number(text, 20, 22) * 60 + number(text, 23, 25)
  return i64(sign == '+' ? minutes : -minutes) * 60000
}
