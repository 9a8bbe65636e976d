// One request after the other, by the functions of wasi_experimental_http 0.10.0.

import { Failure, Outcome } from './outcome'

@external('wasi_experimental_http', 'req')
declare function req(
  url: usize, urlLength: usize, method: usize, methodLength: usize, headers: usize, headersLength: usize,
  body: usize, bodyLength: usize, status: usize, handle: usize,
): u32
@external('wasi_experimental_http', 'close')
declare function close(handle: u32): u32
@external('wasi_experimental_http', 'headers_get_all')
declare function headersGetAll(handle: u32, buffer: usize, length: usize, written: usize): u32
@external('wasi_experimental_http', 'body_read')
declare function bodyRead(handle: u32, buffer: usize, length: usize, written: usize): u32

/** Bytes of a body that are read at once. */
const PIECE: i32 = 16384
/** The longest head of an answer that is read. */
const HEAD_MAX: i32 = 65536
/** The longest body of an answer that is read. */
const BODY_MAX: i32 = 67108864
/** What the interface says where a buffer is too small, and where memory is. */
const RUNTIME: u32 = 12

export class Header {
  constructor(readonly name: string, readonly value: string) {}
}

export class Response {
  constructor(readonly status: u16, private head: string, readonly body: ArrayBuffer) {}

  get ok(): bool {
    return this.status >= 200 && this.status < 300
  }

  text(): string {
    return String.UTF8.decode(this.body)
  }

  /** A header's value; empty where there is none. */
  header(name: string): string {
    const lines = this.head.split('\n')
    for (let i = 0; i < lines.length; i++) {
      const colon = lines[i].indexOf(':')
      if (colon > 0 && lines[i].substring(0, colon).toLowerCase() == name.toLowerCase()) {
        return lines[i].substring(colon + 1)
      }
    }
    return ''
  }
}

export function send(
  method: string, url: string, headers: Header[], body: ArrayBuffer,
): Outcome<Response> {
  let lines = ''
  for (let i = 0; i < headers.length; i++) lines += headers[i].name + ':' + headers[i].value + '\n'
  const urlBytes = String.UTF8.encode(url)
  const methodBytes = String.UTF8.encode(method)
  const headerBytes = String.UTF8.encode(lines)
  // The status in the first four bytes, the handle in the others.
  const answer = new ArrayBuffer(8)
  const at = changetype<usize>(answer)
  const code = req(
    changetype<usize>(urlBytes), urlBytes.byteLength, changetype<usize>(methodBytes), methodBytes.byteLength,
    changetype<usize>(headerBytes), headerBytes.byteLength, changetype<usize>(body), body.byteLength, at, at + 4,
  )
  if (code != 0) return failed(code)
  const handle = load<u32>(at + 4)
  const outcome = read(load<u16>(at), handle)
  close(handle)
  return outcome
}

function failed(code: u32): Outcome<Response> {
  return new Outcome(new Response(0, '', new ArrayBuffer(0)), Failure.ofHost(code))
}

function read(status: u16, handle: u32): Outcome<Response> {
  const written = new ArrayBuffer(4)
  const writtenAt = changetype<usize>(written)
  const head = new ArrayBuffer(HEAD_MAX)
  const headCode = headersGetAll(handle, changetype<usize>(head), HEAD_MAX, writtenAt)
  if (headCode != 0) return failed(headCode)
  const lines = String.UTF8.decode(head.slice(0, load<u32>(writtenAt)))

  let body = new ArrayBuffer(PIECE)
  let length = 0
  while (true) {
    if (body.byteLength - length < PIECE) {
      if (length > BODY_MAX) return failed(RUNTIME)
      const larger = new ArrayBuffer(body.byteLength * 2)
      memory.copy(changetype<usize>(larger), changetype<usize>(body), length)
      body = larger
    }
    const code = bodyRead(handle, changetype<usize>(body) + length, PIECE, writtenAt)
    if (code != 0) return failed(code)
    const count = load<u32>(writtenAt)
    if (count == 0) break
    length += count
  }
  return new Outcome(new Response(status, lines, body.slice(0, length)), null)
}
