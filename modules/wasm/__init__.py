"""The WASM executor: wasmtime in sandboxed worker processes of its own."""
