#!/usr/bin/env bash
# Runs every test: those of each module, then the end-to-end tests and those of a virtual machine, each alone, as they
# want the host for themselves. Ends with a line for each part, and fails on a failure, on a skipped test and on anything
# left on the host.
set -euo pipefail
bin=$1 results=$2
shift 2
export KUBEBUILDER_ASSETS=$bin PATH=$bin:$PATH
rm -rf "$results" && mkdir -p "$results"
summary=() failed=()

# part NAME COMMAND… runs a part and notes how it went and how long it took.
part() {
	local name=$1 start=$SECONDS outcome=passed
	shift
	echo "=== $name"
	"$@" || { outcome=FAILED && failed+=("$name"); }
	summary+=("$(printf '%-16s %-6s %4d s' "$name" "$outcome" $((SECONDS - start)))")
}

# Tests wait more than they compute, so that more packages' run at once than there are processors; golangci-lint runs vet; and
# what nobody debugs links faster without symbols. That takes a third of the time off. Go begins with the packages that are named
# first: were those whose tests take minutes not among them, the last would run alone.
longest='/controllers/(nodepool|engine|host|join)$'
in_module() {
	local all packages
	all=$(cd "$1" && go list ./... | grep -vE '/test/(e2e|vm)$') || return
	mapfile -t packages < <(grep -E "$longest" <<<"$all"; grep -vE "$longest" <<<"$all")
	(cd "$1" && tests "$2" pkgname-and-test-fails -p=$(($(nproc) + 4)) -vet=off -ldflags='-s -w' -timeout=15m "${packages[@]}")
}

tests() { "$bin/gotestsum" --format="$2" --hide-summary=skipped,output --jsonfile="$results/$1.json" -- -count=1 "${@:3}"; }

# in_world runs tests that start a demo. Those that ran out of time, or were killed, did not end it.
in_world() { tests "$@" || { "$bin/drover-dev" down && return 1; }; }

# virtual tries the machine's tests anew, once, where it was the emulator that stopped.
virtual() {
	tests_of_vm && return
	grep -q 'the emulator stalled the machine' "$results/vm.json" || return 1
	echo "The emulator stalled the machine; its tests begin anew."
	tests_of_vm
}

tests_of_vm() { in_world vm standard-verbose -timeout=30m ./test/vm; }

# Tests of machines that are ended from outside leave these behind, and remove such when they begin.
clean() {
	! compgen -G '/srv/drover-test-*' >/dev/null || hack/step.sh 'Remove what killed tests left' '' go test -count=1 -run='^$' ./controllers/local/machine
}

# An interrupt reaches the tests too, which clean up and end; so does this then, after a look at what is left.
finish() {
	part leftovers "$bin/drover-traces" since "$results/before"
	echo && printf '%s\n' "${summary[@]}"
	[ ${#failed[@]} = 0 ] || { echo "Failed: ${failed[*]}" && exit 1; }
}
trap 'trap "" INT TERM; failed+=(interrupted); clean || failed+=(clean); finish' INT TERM

clean
"$bin/drover-traces" take "$results/before"
for module in "$@"; do
	# A module of upstream's programs has no test, and takes long to compile for none.
	[ -n "$(git ls-files -co --exclude-standard "$module/*_test.go")" ] || continue
	name=${module//\//-}
	[ "$module" != . ] || name=drover
	part "$name" in_module "$module" "$name"
done
part e2e in_world e2e standard-verbose -timeout=30m ./test/e2e
part vm virtual
part "none skipped" go run ./hack/noskip "$results"/*.json
finish
