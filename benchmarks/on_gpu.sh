#!/usr/bin/env bash
# The training core on a machine with a GPU, without Ray: its tests, then its benchmarks.
#
#   benchmarks/on_gpu.sh [--tiny] [PART ...]
#
# PART is one of tests, steps, throughput, growth, stages, trials; all of them by default. Each takes
# some minutes. PYTHON names the Python to use (python3), MOST_S the seconds that one command may
# take (420). What fails does not keep the rest from running: the table at the end tells. Figures of
# benchmarks go to benchmarks/results.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3} MOST_S=${MOST_S:-420}
TINY='' KEEP=--keep ROWS=()
PARTS=(tests steps throughput growth stages trials)

run() { # run NAME COMMAND...: one row of the table
    local name=$1 began=$SECONDS
    shift
    echo "== $*"
    timeout "$MOST_S" "$PYTHON" "$@"
    ROWS+=("$(printf '%4d s  exit %3d  %s' $((SECONDS - began)) $? "$name")")
}

bench() { # bench NAME OPTION...
    local name=$1
    shift
    run "$name $*" -m "benchmarks.$name" "$@" $TINY
}

part() {
    local fast=(--precision bf16 --channels-last) model
    case $1 in
    tests) run tests -m pytest -q -m gpu tests/training ;;
    steps)
        bench core_overhead
        bench core_overhead --batch 8 --steps 60
        bench state $KEEP
        ;;
    throughput)
        for model in resnet50 edgenext_small segformer dsr; do
            bench throughput --model $model --rounds 12 "${fast[@]}" $KEEP
        done
        bench throughput --rounds 8 $KEEP
        ;;
    growth)
        for model in resnet50 edgenext_small segformer dsr; do
            bench throughput --model $model --rounds 8 "${fast[@]}" --batches 16,32,64,128,256 $KEEP
        done
        ;;
    stages)
        bench frozen $KEEP
        bench frozen_parts
        ;;
    trials)
        bench fused $KEEP
        bench compiled --size 224 $KEEP
        run tune-slots -m thaw tune-slots unfreeze_timing --set model=resnet18 --set image_size=96 \
            --most "${TINY:+2}${KEEP:+8}"
        ;;
    esac
}

[ "${1:-}" != --tiny ] || { TINY=--tiny && KEEP='' && shift; }
[ $# -gt 0 ] || set -- "${PARTS[@]}"
for name in "$@"; do
    [[ " ${PARTS[*]} " == *" $name "* ]] || {
        echo "on_gpu: PART: one of ${PARTS[*]}, got $name" >&2
        exit 2
    }
done
for name in "$@"; do part "$name"; done
printf '%s\n' "" "${ROWS[@]}"
