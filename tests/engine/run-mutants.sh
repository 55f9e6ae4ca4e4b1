#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Plants each fault of mutants.list in a copy of the engine and runs its tests.
# A mutant that they do not catch, that does not compile, or whose place is not
# found any more, fails the run.
#
# usage: run-mutants.sh WORKDIR          all, on all CPUs
#        run-mutants.sh WORKDIR FIRST STEP   every STEPth, for one CPU
# CC, CFLAGS, TSAN_CFLAGS and LDLIBS come from the environment.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${1:?usage: run-mutants.sh WORKDIR}
log=$work/mutants.log
failed=0 caught=0 step=${3:-} next=${2:-0}

plant() {	# file expression
	sed "$2" "$root/$1" > "$work/src/$1" || return 1
	! cmp -s "$root/$1" "$work/src/$1"
}

build() {	# flags source...
	flags=$1
	shift
	# shellcheck disable=SC2086
	${CC:-cc} $flags -w -I "$work/src/host/reclaim" -I "$work/src/include" \
		-I "$work/src/include/uapi" -I "$here" -o "$work/mutant" \
		"$@" "$work"/src/host/reclaim/*.c $LDLIBS >> "$log" 2>&1
}

# survives FILE: with the tests that are about this file
survives() {
	case $1 in
	*policy*|*readings*)
		build "$CFLAGS" "$here/test-policy.c" || return 2
		timeout 120 "$work/mutant" >> "$log" 2>&1 || return 1
		return 0 ;;
	esac
	build "$CFLAGS" "$here/test-engine.c" "$here/sim.c" || return 2
	GPH_SEEDS=3000 timeout 120 "$work/mutant" >> "$log" 2>&1 || return 1
	build "$TSAN_CFLAGS" "$here/test-threads.c" || return 2
	timeout 120 "$work/mutant" 3 >> "$log" 2>&1 || return 1
}

try() {		# name file expression
	rm -rf "$work/src"
	mkdir -p "$work/src/host"
	cp -r "$root/host/reclaim" "$work/src/host/"
	cp -r "$root/include" "$work/src/"
	echo "== $1" >> "$log"
	if ! plant "$2" "$3"; then
		echo "mutant $1: its place in $2 was not found"
		return 1
	fi
	survives "$2"
	case $? in
	0)	echo "mutant $1: SURVIVED"
		return 1 ;;
	2)	echo "mutant $1: does not compile, see $log"
		return 1 ;;
	esac
	return 0
}

mkdir -p "$work"
: > "$log"

# The numbers are those of this script itself, run once for each CPU.
if [ -z "$step" ]; then
	step=$(nproc)
	for i in $(seq 0 $((step - 1))); do
		"$0" "$work/$i" "$i" "$step" > "$work/$i.out" &
	done
	wait
	for i in $(seq 0 $((step - 1))); do
		grep '^mutant ' "$work/$i.out"
		caught=$((caught + $(sed -n 's/^engine mutants: \([0-9]*\) .*/\1/p' "$work/$i.out")))
		failed=$((failed + $(sed -n 's/.*, \([0-9]*\) not$/\1/p' "$work/$i.out")))
	done
else
	while IFS='|' read -r name file expr; do
		case $name in ''|'#'*) continue ;; esac
		next=$((next - 1))
		[ $next -lt 0 ] || continue
		next=$((step - 1))
		if try "$name" "$file" "$expr"; then
			caught=$((caught + 1))
		else
			failed=$((failed + 1))
		fi
	done < "$here/mutants.list"
fi
echo "engine mutants: $caught caught, $failed not"
[ "$failed" -eq 0 ] && [ "$caught" -gt 0 ]
