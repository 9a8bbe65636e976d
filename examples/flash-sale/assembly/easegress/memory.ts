// How texts and data lie in memory: a length before them, and a NUL behind a text, which the length counts.

// A text for the host. It lives as long as the value is held.
export function toText(text: string): ArrayBuffer {
  return withLength(String.UTF8.encode(text, true))
}

export function toData(data: ArrayBuffer): ArrayBuffer {
  return withLength(data)
}

function withLength(bytes: ArrayBuffer): ArrayBuffer {
  const all = new ArrayBuffer(4 + bytes.byteLength)
  store<u32>(changetype<usize>(all), bytes.byteLength)
  memory.copy(changetype<usize>(all) + 4, changetype<usize>(bytes), bytes.byteLength)
  return all
}

// A text of the host, which allocated it here.
export function textFrom(at: usize): string {
  const text = String.UTF8.decodeUnsafe(at + 4, load<u32>(at) - 1)
  heap.free(at)
  return text
}

export function dataFrom(at: usize): ArrayBuffer {
  const length = load<u32>(at)
  const data = new ArrayBuffer(length)
  memory.copy(changetype<usize>(data), at + 4, length)
  heap.free(at)
  return data
}

export function listFrom(at: usize): string[] {
  const texts: string[] = []
  let place = at + 4
  for (let left = load<u32>(at); left > 0; left--) {
    const length = load<u32>(place)
    texts.push(String.UTF8.decodeUnsafe(place + 4, length - 1))
    place += 4 + length
  }
  heap.free(at)
  return texts
}
