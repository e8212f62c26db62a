// Reads the tables of docs/protocol.md: they are the schema, so this peer speaks what the page says and nothing else.
import { readFileSync } from 'node:fs'

const page = readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8')

// name -> [{ name, type }], in the order of the page; messages and parts of messages alike
export const tables = new Map()

let current
for (const line of page.split('\n')) {
  const heading = line.match(/^### `?(\w+)`?$/)
  if (heading !== null) {
    current = []
    tables.set(heading[1], current)
  } else if (line.startsWith('#')) {
    current = undefined
  }
  const row = line.match(/^\| `(\w+)` \| ([^|]+) \|/)
  if (row !== null && current !== undefined) current.push({ name: row[1], type: row[2].trim() })
}

// name -> [{ name, type }] of every struct that is signed by EIP-712, and the text that its hash covers
export const structs = new Map()

for (const [text, name, members] of page.matchAll(/^(\w+)\((.+)\)$/gm)) {
  const fields = members.split(',').map(member => {
    const [type, field] = member.split(' ')
    return { type, name: field }
  })
  structs.set(name, { text, fields })
}
