// AssemblyScript has no exceptions that can be caught: a call answers with a value or with a failure.

import { Response } from './http'
import { memberText } from './json'

/** Why a call failed. */
export class Failure {
  constructor(
    /** Of wasi_experimental_http, where no answer came: 7 says that Dapr is not granted. 0 where one came. */
    readonly code: u32,
    /** Of the answer; 0 where none came. */
    readonly status: u16,
    /** Dapr's, such as `ERR_STATE_STORE_NOT_FOUND`; empty where there is none. */
    readonly errorCode: string,
    readonly message: string,
  ) {}

  static ofHost(code: u32): Failure {
    return new Failure(code, 0, '', describe(code))
  }

  static ofResponse(response: Response): Failure {
    const body = response.text()
    const errorCode = memberText(body, 'errorCode')
    const message = errorCode.length > 0 ? memberText(body, 'message') : body
    return new Failure(0, response.status, errorCode, message)
  }

  /** Whether somebody else wrote the value meanwhile: its etag is another one. */
  get isConflict(): bool {
    return this.status == 409
  }

  toString(): string {
    if (this.status == 0) return 'no answer of Dapr: ' + this.message
    const code = this.errorCode.length > 0 ? this.errorCode + ': ' : ''
    return this.status.toString() + ' ' + code + this.message
  }
}

/** A value, or why there is none. Look at `failure` first. */
export class Outcome<T> {
  constructor(readonly value: T, readonly failure: Failure | null) {}

  get ok(): bool {
    return this.failure === null
  }
}

function describe(code: u32): string {
  switch (code) {
    case 7: return 'the destination is not allowed'
    case 10: return 'the URL is not valid'
    case 11: return 'the request failed'
    case 13: return 'too many responses are open'
    default: return 'wasi_experimental_http says ' + code.toString()
  }
}
