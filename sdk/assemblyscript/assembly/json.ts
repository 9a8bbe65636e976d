// As much of JSON as the client needs: texts, and the members of an object or the items of an array, each in its exact
// text. Values are for whatever library the app prefers.

/** A member of an object, or an item of an array with an empty name. The value is JSON as it is written. */
export class Member {
  constructor(readonly name: string, readonly value: string) {}
}

/** A text as JSON. */
export function quote(text: string): string {
  let out = '"'
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit == 0x22) out += '\\"'
    else if (unit == 0x5c) out += '\\\\'
    else if (unit < 0x20) out += '\\u' + unit.toString(16).padStart(4, '0')
    else out += text.charAt(i)
  }
  return out + '"'
}

/** The text that a JSON string means; other JSON stays as it is. */
export function unquote(json: string): string {
  if (json.length < 2 || json.charCodeAt(0) != 0x22) return json
  let out = ''
  for (let i = 1; i < json.length - 1; i++) {
    if (json.charCodeAt(i) != 0x5c) {
      out += json.charAt(i)
      continue
    }
    i++
    const unit = json.charCodeAt(i)
    if (unit == 0x75) {
      out += String.fromCharCode(<i32>parseInt(json.substring(i + 1, i + 5), 16))
      i += 4
    } else if (unit == 0x6e) out += '\n'
    else if (unit == 0x74) out += '\t'
    else if (unit == 0x72) out += '\r'
    else if (unit == 0x62) out += '\b'
    else if (unit == 0x66) out += '\f'
    else out += json.charAt(i)
  }
  return out
}

/** The members of an object or the items of an array. What is neither, or is cut off, has those that are whole. */
export function parse(json: string): Member[] {
  const members = new Array<Member>()
  let at = blank(json, 0)
  if (at >= json.length) return members
  const object = json.charCodeAt(at) == 0x7b
  if (!object && json.charCodeAt(at) != 0x5b) return members
  at = blank(json, at + 1)
  while (at < json.length && json.charCodeAt(at) != 0x5d && json.charCodeAt(at) != 0x7d) {
    let name = ''
    if (object) {
      const end = past(json, at)
      name = unquote(json.substring(at, end))
      at = blank(json, end)
      if (at >= json.length || json.charCodeAt(at) != 0x3a) return members
      at = blank(json, at + 1)
    }
    const end = past(json, at)
    if (end == at) return members
    members.push(new Member(name, json.substring(at, end)))
    at = blank(json, end)
    if (at < json.length && json.charCodeAt(at) == 0x2c) at = blank(json, at + 1)
  }
  return members
}

/** A member's value as it is written; empty where there is none. */
export function member(json: string, name: string): string {
  const members = parse(json)
  for (let i = 0; i < members.length; i++) if (members[i].name == name) return members[i].value
  return ''
}

/** A member's text. */
export function memberText(json: string, name: string): string {
  const value = member(json, name)
  return value == 'null' ? '' : unquote(value)
}

function blank(json: string, from: i32): i32 {
  let at = from
  while (at < json.length) {
    const unit = json.charCodeAt(at)
    if (unit != 0x20 && unit != 0x0a && unit != 0x0d && unit != 0x09) break
    at++
  }
  return at
}

/** Where a value that begins here ends. */
function past(json: string, from: i32): i32 {
  let depth = 0
  let text = false
  for (let at = from; at < json.length; at++) {
    const unit = json.charCodeAt(at)
    if (text) {
      if (unit == 0x5c) at++
      else if (unit == 0x22) {
        text = false
        if (depth == 0) return at + 1
      }
    } else if (unit == 0x22) text = true
    else if (unit == 0x7b || unit == 0x5b) depth++
    else if (unit == 0x7d || unit == 0x5d) {
      if (depth == 0) return at
      if (--depth == 0) return at + 1
    } else if (depth == 0 && (unit == 0x2c || unit == 0x3a || unit <= 0x20)) return at
  }
  return json.length
}
