#!/usr/bin/env bash
# SmolLM2 through both stages on pairs of GSM8K's graded solutions.
set -uo pipefail
if [ ! -d "$RMR1_CACHE/smollm2-135m" ]; then
  echo "SmolLM2 is missing, expected part-2 and part-3 of the kit"
  exit 77
fi
config=$KIT/smollm2-gsm8k.json
python3 - "$DEVICE" "$TINY" >"$config" <<'CONFIG'
import json, sys
device, tiny = sys.argv[1:]
config = json.load(open("configs/smollm2-gsm8k.json")) | {"device": device}
if tiny:
    config["stage1"] |= {"examples": 2, "batchExamples": 1}
    config["stage2"] |= {"steps": 1, "prompts": 1, "rollouts": 2, "maxNewTokens": 8, "decodeBatch": 2}
    config["evaluation"] |= {"examples": 2, "maxNewTokens": 8}
print(json.dumps(config))
CONFIG
run=runs/smollm2-cuda
rm -rf $run
"$DENO" run -q --no-prompt --cached-only -P=train ts/cli/main.ts train --config "$config" --run-dir $run
status=$?
cp $run/journal.jsonl "$OUT/smollm2-journal.jsonl"
echo "configs/smollm2-gsm8k.json, device $DEVICE"
exit $status
