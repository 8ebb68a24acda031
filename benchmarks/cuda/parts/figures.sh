#!/usr/bin/env bash
# Each row in processes of its own and with its own time limit.
set -uo pipefail
measure=("$DENO" run -A --cached-only benchmarks/cuda/measure.ts --device "$DEVICE" ${TINY:+"$TINY"})
rows=${ROWS:-$("${measure[@]}" --list | paste -sd,)}
missing=''
for row in ${rows//,/ }; do
  timeout --kill-after=10 420 "${measure[@]}" --out "$OUT" --repetitions "$REPETITIONS" --rows "$row" || missing="$missing $row"
done
[ -z "$missing" ] || { echo "Not measured:$missing" && exit 1; }
echo "$rows"
