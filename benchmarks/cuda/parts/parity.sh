#!/usr/bin/env bash
# Each operation, then whole models: the core's tests, then those of the engine that users call.
set -uo pipefail
cuda=1
[ "$DEVICE" != cpu ] || cuda=0
status=0
RMR1_CUDA=$cuda "$KIT/bin/core-tests" cuda::tests || status=1
# Without a device named, an engine takes the first GPU.
"$DENO" test -A --no-check --cached-only ts/engine/native/native_engine_test.ts ts/engine/native/smollm2_test.ts || status=1
# Other types of weights are the CPU's to write.
"$DENO" test -A --no-check --cached-only tests/parity/peers.ts --filter '/transformers opens .*(as f32|model|SmolLM2)/' || status=1
echo "core tests of the backend, engine tests, saved models in transformers"
exit $status
