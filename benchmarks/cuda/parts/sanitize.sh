#!/usr/bin/env bash
# Every test of the backend under compute-sanitizer, a process each. A test that is too long for a tool is told, and is
# no failure.
set -uo pipefail
command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not installed" && exit 77; }
[ "$DEVICE" != cpu ] || { echo "There is no device to sanitize" && exit 77; }
export RMR1_CUDA=1

sanitized() {
  local log status
  log=$(timeout --kill-after=5 60 compute-sanitizer --tool "$1" --error-exitcode 99 "$KIT/bin/core-tests" --exact "$2" 2>&1)
  status=$?
  case $status in
  0) echo "clean $1 $2" ;;
  124 | 137) echo "long $1 $2" ;;
  *)
    # Of a test that gives the device nothing to do.
    if grep -q 'before first instrumented API call' <<<"$log"; then
      echo "idle $1 $2"
    else
      echo "unclean $1 $2"
      grep -E '=========|panicked' <<<"$log" | head -40 >&2
    fi
    ;;
  esac
}
export -f sanitized

tests=$("$KIT/bin/core-tests" cuda::tests --list --format terse | sed -n 's/: test$//p')
verdicts=$KIT/sanitized.txt
for tool in memcheck racecheck synccheck; do
  for test in $tests; do echo "$tool $test"; done
done | xargs --max-procs=6 --max-lines=1 bash -c 'sanitized "$0" "$1"' | tee "$verdicts"
count() { grep -c "^$1 " "$verdicts"; }
echo "memcheck, racecheck, synccheck: $(count clean) clean, $(count unclean) not, $(count long) too long, $(count idle) idle"
[ "$(count unclean)" = 0 ] && [ "$(count clean)" != 0 ]
