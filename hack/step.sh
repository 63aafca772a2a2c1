#!/usr/bin/env bash
# Runs a part of the build in the look of drover-dev's steps: hack/step.sh NAME HINT [VARIABLE=VALUE…] COMMAND…
# What the command prints is shown if it fails. One that is done within two seconds had little to do, and is not shown.
# The Makefile says in DROVER_STARTED when its run began, and in DROVER_STEPS where to note the step for drover-dev's table.
set -euo pipefail
name=$1 hint=${2:+: $2}
shift 2

now() { echo "${EPOCHREALTIME/[.,]/}"; } # in microseconds, after a dot or a comma by locale
seconds() { echo "$(($1 / 1000000)).$(($1 / 100000 % 10))"; }
say() { printf '%6ss  %s\n' "$(seconds $(($(now) - ${DROVER_STARTED:-$began})))" "$1"; }
# Lines are rewritten only where no other step's come between.
in_place() { [ -t 1 ] && [[ ${MAKEFLAGS:-} != *-j* ]]; }
# Of a line that wraps, only the last row would be rewritten.
fit() {
	local LC_ALL=C.UTF-8 line=$1 columns=
	{ columns=$(stty size <&3 2>/dev/null) || true; } 3>&1
	columns=${columns#* }
	[ "${columns:-0}" -lt 2 ] || [ ${#line} -lt "$columns" ] || line=${line:0:columns-2}…
	printf '\r\033[K%s' "$line"
}

announce() {
	local never wait=2
	exec {never}<> <(:) # nothing ever comes: reading from it waits, without a process that would outlive this one
	while read -rt "$wait" -u "$never" || kill -0 $$ 2>/dev/null; do
		wait=1
		in_place || { say "… $name$hint" && return; }
		fit "$(say "… $name ($(seconds $(($(now) - began))) s)$hint")"
	done
}

began=$(now) code=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
announce &
env "$@" >"$output" 2>&1 || code=$?
kill $! 2>/dev/null || true
wait
took=$(($(now) - began))
! in_place || printf '\r\033[K'
if [ "$code" != 0 ]; then
	say "✗ $name ($(seconds $took) s)"
	cat "$output" >&2
elif [ $took -ge 2000000 ]; then
	say "✓ $name ($(seconds $took) s)"
	[ ! -e "${DROVER_STEPS:-}" ] || printf '%s\t%s\n' "$(seconds $took)" "$name" >>"$DROVER_STEPS"
fi
exit "$code"
