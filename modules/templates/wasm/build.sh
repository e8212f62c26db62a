#!/bin/sh
# Needs a C compiler for WASI (Debian: clang lld wasi-libc libclang-rt-dev-wasm32).
set -eu
cd "$(dirname "$0")"
clang --target=wasm32-wasi -Os -Wl,--strip-all -o program.wasm main.c
chmod 644 program.wasm
