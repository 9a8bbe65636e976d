// The flash sale of Easegress's cookbook: nobody before the start, some of the crowd after it, a lucky user always,
// and never more users than there is to sell.
export * from './easegress/proxy'

import {
  Program, cluster, getUnixTimeInMs, parseDate, rand, registerProgramFactory, request, response,
} from './easegress'

// How many users were let through. Counted in one step, so that two instances cannot give away the same place.
const PERMITS = 'permits'

class FlashSale extends Program {
  // Unix time in milliseconds.
  startTime: i64 = 0
  // Of 0.4, four of ten requests are blocked.
  blockRatio: f64 = 0.4
  // So many users may buy.
  maxPermission: i64 = 3

  constructor(params: Map<string, string>) {
    super(params)
    if (params.has('startTime')) this.startTime = parseDate(params.get('startTime'))
    if (params.has('blockRatio')) this.blockRatio = parseFloat(params.get('blockRatio'))
    if (params.has('maxPermission')) this.maxPermission = i64(parseInt(params.get('maxPermission')))
  }

  run(): i32 {
    if (getUnixTimeInMs() < this.startTime) {
      response.setBody(String.UTF8.encode('not start yet.\n'))
      return 1
    }

    // Lucky once, lucky always.
    const id = request.getHeader('Authorization')
    if (cluster.getString('id/' + id) == 'true') return 0

    if (rand() > this.blockRatio && this.permit()) {
      cluster.putString('id/' + id, 'true')
      return 0
    }
    response.setBody(String.UTF8.encode('sold out.\n'))
    return 2
  }

  // Counts first and looks then: whoever counts beyond the limit takes nothing and counts back.
  permit(): bool {
    if (cluster.getInteger(PERMITS) >= this.maxPermission) return false
    if (cluster.addInteger(PERMITS, 1) <= this.maxPermission) return true
    cluster.addInteger(PERMITS, -1)
    return false
  }
}

registerProgramFactory((params: Map<string, string>) => new FlashSale(params))
