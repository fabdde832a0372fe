#!/bin/sh
# Stands in for the `loupe` that a matrix starts (matrix.rs): `stub.sh <config.json>`, with a config as a matrix writes it. What it does on
# a backend is in STUB_<BACKEND> (panic, hang, absent, fail, broken, kill, silent, late-panic; else it runs), the report
# that it copies has the prefix STUB_REPORT, and the judge copies the verdicts of the folder STUB_VERDICTS.
config=$1
key() { sed -n "s/^  \"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" "$config"; }
check=$(key check) backend=$(key backend) output=$(key output)

if [ "$check" = compare ]; then
    [ "$STUB_JUDGE" = crash ] && exit 101
    echo "the judge's own text"
    cp "$STUB_VERDICTS" "$output.json"
    exit "${STUB_JUDGE:-0}"
fi

# One line a process, so that a test can count them.
echo "$backend $check" >>"$STUB_CALLS"
case $backend in
cuda) does=$STUB_CUDA ;;
wgpu) does=$STUB_WGPU ;;
*) does=run ;;
esac
case $does in
panic) echo "thread 'main' panicked: no adapter" >&2 && exit 101 ;;
late-panic) [ "$check" = trace ] && exit 101 ;;
hang) exec sleep 600 ;;
absent) echo "  × backend $backend is not available here: no driver" >&2 && exit 5 ;;
fail) echo "  × no such model" >&2 && exit 2 ;;
broken) echo "  × backend $backend fails its self-test" >&2 && exit 3 ;;
kill) kill -9 $$ ;;
silent) exit 0 ;;
esac
cp "$STUB_REPORT.json" "$output.json"
cp "$STUB_REPORT.safetensors" "$output.safetensors"
