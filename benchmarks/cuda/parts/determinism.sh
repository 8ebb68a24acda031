#!/usr/bin/env bash
# The same bits in two processes, the sampler and the trainer, and runs that are killed.
set -uo pipefail
status=0
"$DENO" test -A --no-check --cached-only tests/device/determinism.ts || status=1
"$DENO" test -A --no-check --cached-only tests/kill_resume_test.ts || status=1
echo "two processes, sampler and trainer, killed runs"
exit $status
