#!/usr/bin/env bash
# Checks and measures on a machine with a GPU, from what prepare.sh gathered.
#
#   benchmarks/cuda/run.sh --out FOLDER [--only PART,PART] [--rows ID,ID] [--repetitions N] [--device cpu --tiny]
#
# Parts, in this order:
#   parity       each operation against the CPU backend, whole models against it and against transformers
#   sanitize     compute-sanitizer: memcheck, racecheck, synccheck
#   determinism  the same bits in two processes; the sampler is the trainer; killed runs end with the same bits
#   figures      ours beside PyTorch, transformers and TRL, in turn; --rows as in rows.ts
#   train        SmolLM2 through both stages
#
# --only unpack does nothing else: for a machine that gets the kit in more than one transfer. --device cpu tries the
# programs without a GPU, --tiny with small work.
#
# FOLDER gets results.jsonl, which `deno task bench:cuda --write-docs FOLDER` reads, summary.md, log.txt and the
# training run's journal. Each part has a time limit and goes on when another fails; if any fails, the status is 1.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

only=parity,sanitize,determinism,figures,train
out='' device=cuda:0 rows='' repetitions=3 tiny=''
while [ $# -gt 0 ]; do
  case $1 in
  --only) only=$2 && shift 2 ;;
  --out) out=$2 && shift 2 ;;
  --rows) rows=$2 && shift 2 ;;
  --repetitions) repetitions=$2 && shift 2 ;;
  --device) device=$2 && shift 2 ;;
  --tiny) tiny=--tiny && shift ;;
  *) echo "Option \"$1\" is unknown, expected --only, --out, --rows, --repetitions, --device or --tiny" >&2 && exit 2 ;;
  esac
done
[ -n "$out" ] || { echo "Option --out is missing, expected a folder for the results" >&2 && exit 2; }
mkdir -p "$out"
out=$(realpath "$out")

# Outside the working tree: another transfer may replace what lies in it.
kit=${RMR1_CUDA_KIT:-/tmp/rm-r1-cuda-kit}
mkdir -p "$kit/model"
if [ -e .cuda-kit/part-1 ]; then python3 -m tarfile --extract .cuda-kit/part-1 "$kit" || exit 1; fi
for half in 2 3; do
  if [ -e ".cuda-kit/part-$half" ]; then cp ".cuda-kit/part-$half" "$kit/model/"; fi
done
model=$kit/cache/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
if [ ! -e "$model" ] && [ -e "$kit/model/part-2" ] && [ -e "$kit/model/part-3" ]; then
  mkdir -p "$(dirname "$model")"
  cat "$kit/model/part-2" "$kit/model/part-3" >"$model"
fi
[ "$only" != unpack ] || exit 0
[ -x "$kit/bin/deno" ] || { echo "No Deno in \"$kit\", expected what part-1 of the kit holds" >&2 && exit 1; }

# Where the permissions of deno.json let the core be loaded from.
mkdir -p target/release
cp "$kit/lib/librmr1_core.so" target/release/
[ ! -d "$kit/cuda" ] || { mkdir -p target/cuda && cp -r "$kit/cuda/." target/cuda/; }
[ ! -d target/cuda ] || export RMR1_CUDA_KERNELS=$PWD/target/cuda
if [ ! -d "$kit/site" ]; then
  python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$kit/site" "$kit"/wheels/*.whl ||
    echo "TRL could not be installed: its rows will say so" >&2
fi

export OUT=$out DEVICE=$device ROWS=$rows REPETITIONS=$repetitions TINY=$tiny KIT=$kit
export DENO=$kit/bin/deno DENO_DIR=$kit/deno-dir DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
export RMR1_CACHE=$kit/cache RMR1_DATA=$kit/data RMR1_DEVICE=$device
export RMR1_PEERS_PYTHON=${RMR1_PEERS_PYTHON:-$(command -v python3)}
export PYTHONPATH=$kit/site PYTHONDONTWRITEBYTECODE=1
RMR1_COMMIT=$(cat "$kit/commit")
export RMR1_COMMIT
export PATH=$PATH:/usr/local/cuda/bin
# NVRTC and cuBLASLt come with PyTorch where no toolkit is installed.
libraries=$("$RMR1_PEERS_PYTHON" -c '
import importlib.util, pathlib
found = importlib.util.find_spec("nvidia")
roots = map(pathlib.Path, found.submodule_search_locations) if found else []
print(":".join(str(each) for root in roots for each in sorted(root.glob("*/lib"))))')
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libraries:/usr/local/cuda/lib64

name=$device driver=none
if [ "$device" != cpu ]; then
  name=$(nvidia-smi --id="${device#cuda:}" --query-gpu=name --format=csv,noheader) || exit 1
  driver=$(nvidia-smi --id="${device#cuda:}" --query-gpu=driver_version --format=csv,noheader)
  nvidia-smi
fi
echo "Device: $name, driver $driver"

declare -A limits=([parity]=300 [sanitize]=300 [determinism]=240 [figures]=1800 [train]=480)
failed=''
for part in parity sanitize determinism figures train; do
  case ,$only, in *,"$part",*) ;; *) continue ;; esac
  echo "== $part"
  began=$SECONDS
  # The part's last line on standard output says what was run.
  timeout --kill-after=10 "${limits[$part]}" bash "benchmarks/cuda/parts/$part.sh" 2>&1 | tee "$kit/$part.txt"
  status=${PIPESTATUS[0]}
  cat "$kit/$part.txt" >>"$out/log.txt"
  case $status in
  0) word=passed ;;
  77) word=skipped ;;
  124 | 137) word='ran out of time' ;;
  *) word=failed ;;
  esac
  case $word in passed | skipped) ;; *) failed="$failed $part" ;; esac
  PART=$part WORD=$word SPENT=$((SECONDS - began)) NAME=$name DRIVER=$driver python3 - "$kit/$part.txt" >>"$out/results.jsonl" <<'RECORD'
import datetime, json, os, sys
lines = [line.strip() for line in open(sys.argv[1], errors="replace") if line.strip()]
print(json.dumps({
    "kind": "part", "name": os.environ["PART"], "status": os.environ["WORD"], "seconds": int(os.environ["SPENT"]),
    "detail": lines[-1][:300] if lines else "",
    "at": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "commit": os.environ["RMR1_COMMIT"], "device": os.environ["NAME"], "driver": os.environ["DRIVER"],
}))
RECORD
done

"$DENO" run -A --cached-only benchmarks/cuda/summary.ts "$out" | tee "$out/summary.md"
[ -z "$failed" ] || { echo "Failed:$failed" && exit 1; }
