// Checks this peer's wire against the test vectors of the repository.
export function checkVectors (path) {
  throw new Error(`no vectors at ${path}`)
}
