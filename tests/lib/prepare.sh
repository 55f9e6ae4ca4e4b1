# SPDX-License-Identifier: GPL-2.0
#
# What guest/prepare, host/prepare and the tests' own steps have in common: where
# things are kept, how a message looks, Debian packages from the mirror that this
# machine's apt uses, overlays and patches.  Sourced by bash; sets -eu pipefail.
#
# Nothing is installed by the download functions: they use a private apt state
# beside the system's, with the suites that the versions of VERSIONS are in.
set -eu -o pipefail

gph_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
gph_cache=${XDG_CACHE_HOME:-$HOME/.cache}/gph
gph_logs=${GPH_LOGS:-$gph_root/build/logs}
gph_jobs=${JOBS:-$(nproc)}
mkdir -p "$gph_cache/dl" "$gph_logs"
# shellcheck source=../../VERSIONS
. "$gph_root/VERSIONS"

say() { echo "${0##*/}: $*" >&2; }

# die MESSAGE CURE
die() {
	say "$1"
	say "cure: $2"
	exit 1
}

# step LOG WHAT COMMAND...: run a long step; show that it lives; name the log
step() {
	local log=$gph_logs/$1.log what=$2 start=$SECONDS pid
	shift 2
	say "$what (log: $log)"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		sleep 1
		if [ $(((SECONDS - start) % 60)) = 59 ]; then
			say "  $(((SECONDS - start + 1) / 60)) min: $(tail -n 1 "$log" | cut -c 1-60)"
			sleep 1
		fi
	done
	wait $pid || {
		tail -n 25 "$log" >&2
		die "$what failed" "read $log; the last lines are above"
	}
	say "  done in $((SECONDS - start)) s"
}

# --- packages of this system ---

# need PACKAGE...: install what is missing, or say how
need() {
	local package missing=
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null |
			grep -qx installed || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die "packages are missing:$missing" \
		"sudo apt-get install --no-install-recommends$missing"
	# shellcheck disable=SC2086
	install_packages $missing || die "cannot install$missing, see $gph_logs/apt.log" \
		"check the network and /etc/apt, then: apt-get install$missing"
}

install_packages() {
	say "installing $*"
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y --no-install-recommends "$@" >"$gph_logs/apt.log" 2>&1 && return
	apt-get update >>"$gph_logs/apt.log" 2>&1
	apt-get install -y --no-install-recommends "$@" >>"$gph_logs/apt.log" 2>&1
}

# --- packages of newer suites, beside the system ---

apt_conf=$gph_cache/apt/apt.conf
apt_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror that this machine uses for Debian's packages, without security's.
apt_mirror() {
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null |
		grep -v security | grep debian | head -n 1
}

apt_init() {
	local suite site
	[ ! -r "$apt_conf" ] || return 0
	site=$(apt_mirror || true)
	[ -n "$site" ] || die "apt on this machine has no source of Debian packages" \
		"add one to /etc/apt/sources.list.d, or bring your own KERNEL_TREE= and QEMU_TREE="
	[ -r $apt_keyring ] || need debian-archive-keyring
	mkdir -p "$gph_cache"/apt/{lists/partial,cache/archives/partial,state}
	for suite in trixie bookworm-backports sid; do
		echo "deb [signed-by=$apt_keyring] $site $suite main"
		echo "deb-src [signed-by=$apt_keyring] $site $suite main"
	done >"$gph_cache/apt/sources.list"
	cat >"$apt_conf.new" <<-EOC
	Dir::State "$gph_cache/apt/state";
	Dir::State::lists "$gph_cache/apt/lists";
	Dir::State::status "/dev/null";
	Dir::Cache "$gph_cache/apt/cache";
	Dir::Etc::SourceList "$gph_cache/apt/sources.list";
	Dir::Etc::SourceParts "/dev/null";
	Dir::Etc::Preferences "/dev/null";
	APT::Sandbox::User "root";
	EOC
	apt-get -c "$apt_conf.new" -q update >"$gph_logs/apt-lists.log" 2>&1 ||
		die "reading the package lists failed, see $gph_logs/apt-lists.log" \
			"check the network and the mirror, then run this again"
	mv "$apt_conf.new" "$apt_conf"
}

# apt_private COMMAND...: apt-get on the private state; refreshes old lists once
apt_private() {
	apt_init
	(cd "$gph_cache/dl" && {
		apt-get -c "$apt_conf" -q "$@" ||
			{ apt-get -c "$apt_conf" -q update && apt-get -c "$apt_conf" -q "$@"; }
	}) >>"$gph_logs/apt-download.log" 2>&1
}

# verified FILE SHA256: is the download there, and the tested one?
verified() {
	[ -f "$gph_cache/dl/$1" ] &&
		echo "$2  $gph_cache/dl/$1" | sha256sum --quiet --status -c -
}

# --- overlays and patches ---

# overlay FROM TO: copy what differs, and leave time stamps of the rest alone
overlay() {
	(cd "$1" && find . -type f ! -name '*.orig') | while read -r file; do
		cmp -s "$1/$file" "$2/$file" && continue
		mkdir -p "$2/$(dirname "$file")"
		cp "$1/$file" "$2/$file"
	done
}

# apply_series DIRECTORY TREE: every patch, without fuzz, or nothing but an error
apply_series() {
	local patch log=$gph_logs/patch.log
	while read -r patch; do
		[ -n "$patch" ] || continue
		patch -d "$2" -p1 -F0 --no-backup-if-mismatch -r - -s <"$1/$patch" >"$log" 2>&1 || {
			cat "$log" >&2
			die "$patch does not apply to $2" \
				"use the version that $1/BASE names"
		}
	done <"$1/series"
}

# inputs FILE...: one checksum over files and directories, to know what is stale
inputs() {
	find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}
