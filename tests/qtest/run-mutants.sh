#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Plants each fault of a list in a prepared QEMU tree, builds, and runs a test,
# which must fail.  The tree is put back after each; it must be this script's
# alone while it runs.
#
# usage: run-mutants.sh QEMU_SRC QEMU_BUILD LOG [NAME...]
# From the environment: LIST= of faults (mutants.list), TEST= as ninja names it
# (tests/qtest/virtio-gph-test), RUN= another command to run it by, WHAT= is
# mutated, for the last line (device).
set -u

here=$(cd "$(dirname "$0")" && pwd)
usage='usage: run-mutants.sh QEMU_SRC QEMU_BUILD LOG [NAME...]'
src=${1:?$usage} build=${2:?$usage} log=${3:?$usage}
shift 3
test=${TEST:-tests/qtest/virtio-gph-test}
list=${LIST:-$here/mutants.list}
case $test in
tests/qtest/*) targets="qemu-system-x86_64 $test" ;;
*) targets=$test ;;
esac
failed=0 caught=0 planted=

put_back() {
	[ -z "$planted" ] || mv "$planted.orig" "$planted"
	planted=
}
trap put_back EXIT
trap 'exit 1' INT TERM

make_it() {
	# shellcheck disable=SC2086
	ninja -C "$build" $targets >> "$log" 2>&1
}

run_it() {
	if [ -n "${RUN:-}" ]; then
		sh -c "$RUN" >> "$log" 2>&1
		return
	fi
	# The inner shell, so that "Aborted" goes to the log as well.
	(cd "$build" && sh -c "QTEST_QEMU_BINARY=./qemu-system-x86_64 \
		timeout 120 $test --tap; exit \$?") >> "$log" 2>&1
}

try() {		# name file expression
	echo "== $1" >> "$log"
	cp -p "$src/$2" "$src/$2.orig" && planted=$src/$2
	sed "$3" "$planted.orig" > "$planted"
	if cmp -s "$planted" "$planted.orig"; then
		echo "mutant $1: its place in $2 was not found"
		return 1
	fi
	if ! make_it; then
		echo "mutant $1: does not compile, see $log"
		return 1
	fi
	if run_it; then
		echo "mutant $1: SURVIVED"
		return 1
	fi
	return 0
}

: > "$log"
if ! make_it || ! run_it; then
	echo "$test fails without any mutant, see $log"
	exit 1
fi
while IFS='|' read -r name file expr; do
	case $name in ''|'#'*) continue ;; esac
	case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
	if try "$name" "$file" "$expr"; then
		caught=$((caught + 1))
	else
		failed=$((failed + 1))
	fi
	put_back
	touch "$src/$file"
done < "$list"
make_it
echo "${WHAT:-device} mutants: $caught caught, $failed not"
[ "$failed" -eq 0 ] && [ "$caught" -gt 0 ]
