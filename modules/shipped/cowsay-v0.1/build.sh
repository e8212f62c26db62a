#!/bin/sh
# Builds cowsay.wasm from cowsay.c. The program's hash is part of the module's digest: commit what you build.
set -eu
cd "$(dirname "$0")"
${CC:-clang} --target=wasm32-wasi -Os -Wall -Wextra -Werror -Wl,--strip-all -o cowsay.wasm cowsay.c
chmod 644 cowsay.wasm
