#!/bin/sh
# Installs what the labs under test/ need on Debian or Ubuntu: routers, a
# key-value store, and tools to look and measure.
#
# It changes nothing else about the machine: no service is started, and none
# that was not enabled before is enabled afterwards, even when this script is
# killed half way. When everything is present it does nothing and needs no root.
#
#   test/setup/install.sh [--with-tshark] [--check]
#
#   --with-tshark  tshark as well, to look into packets (large)
#   --check        only say what is missing; the exit status is 1 when something is
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL

state=/var/lib/fairway-test-setup   # exists only while packages are installed
before=$state/enabled-before        # what the machine starts at boot, before
lock=/run/fairway-test-setup.lock
policy=/usr/sbin/policy-rc.d        # asked by Debian before it starts a service
original=$policy.fairway-original

say() { echo "setup: $*"; }

# A program to look for, and the package that brings it.
needed="
/usr/lib/frr/bgpd   frr
bird                bird2
gobgp               gobgpd
bgpctl              openbgpd
exabgp              exabgp
pmbmpd              pmacct
radvd               radvd
etcd                etcd-server
nft                 nftables
conntrack           conntrack
iperf3              iperf3
ping                iputils-ping
ip                  iproute2
curl                curl
sysctl              procps
nsenter             util-linux
"

missing() {
	echo "$needed" | while read -r program package; do
		[ -z "$program" ] || command -v "$program" >/dev/null || printf ' %s' "$package"
	done
}

# enabled lists what the machine starts at boot: links of systemd and of SysV init.
enabled() {
	for link in /etc/systemd/system/*.wants/* /etc/systemd/system/*.requires/* /etc/rc[2345S].d/S*; do
		[ ! -L "$link" ] || echo "$link"
	done | sort
}

newly_enabled() { enabled | comm -13 "$before" -; }

disable_new_services() {
	[ -e "$before" ] || return 0
	newly_enabled | while read -r link; do
		name=${link##*/}
		case $link in
		/etc/rc?.d/*) update-rc.d "${name#S[0-9][0-9]}" disable ;;
		*) DPKG_MAINTSCRIPT_PACKAGE=fairway deb-systemd-helper disable "$name" ;;
		esac >/dev/null 2>&1 || true
	done
	left=$(newly_enabled)
	if [ -n "$left" ]; then
		say "these services are enabled now and could not be disabled:" $left >&2
		return 1
	fi
}

# forbid_service_starts lets Debian's own switch say no. The answer holds only
# while the lock is held, by this script or by the apt-get it started: left over
# from a killed run, the file takes itself away when it is next asked.
forbid_service_starts() {
	if [ -e "$policy" ] && ! grep -q "fairway's test/setup" "$policy"; then
		cp -p "$policy" "$original"
	fi
	cat >"$policy.fairway-new" <<-END
		#!/bin/sh
		# Put here by fairway's test/setup/install.sh for as long as it runs.
		flock -n $lock true || exit 101
		if [ -e $original ]; then
			mv $original $policy
			exec $policy "\$@"
		fi
		rm -f $policy
		exit 0
	END
	chmod 755 "$policy.fairway-new"
	mv "$policy.fairway-new" "$policy"
}

allow_service_starts() {
	if [ -e "$original" ]; then
		mv "$original" "$policy"
	elif grep -qs "fairway's test/setup" "$policy"; then
		rm -f "$policy"
	fi
}

finish() {
	status=0
	disable_new_services || status=1
	allow_service_starts
	rm -rf "$state"
	return $status
}

install() {
	mkdir -p "$state"
	enabled >"$before.new"
	mv "$before.new" "$before"
	trap finish EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	forbid_service_starts

	export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
	say "refreshing the package lists"
	apt-get -q -o DPkg::Lock::Timeout=300 update ||
		say "some package lists could not be refreshed; going on with those there are"
	say "installing $*"
	# The hook cleans up where this script was killed and apt-get went on.
	apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		-o DPkg::Post-Invoke::="kill -0 $$ 2>/dev/null || '$self' --finish" \
		install "$@"

	trap - EXIT
	finish
}

self=$(realpath "$0")
check=
options=$*
for option; do
	case $option in
	--with-tshark) needed="$needed
tshark tshark" ;;
	--check) check=yes ;;
	--finish) finish; exit ;;
	*)
		say "unknown option $option; there are --with-tshark and --check" >&2
		exit 2
		;;
	esac
done

packages=$(missing)
if [ -z "$packages" ] && [ ! -e "$state" ]; then
	exit 0
fi
if [ -n "$check" ]; then
	say "missing:${packages:- nothing, but an earlier run was cut short and wants to clean up}"
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	say "this is not Debian or Ubuntu; please install the counterparts of:$packages" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	say "missing:$packages" >&2
	say "run once: sudo test/setup/install.sh${options:+ $options}" >&2
	exit 1
fi

exec 9>"$lock"
flock -n 9 || { say "waiting for another run of this script"; flock 9; }
[ ! -e "$state" ] || finish # a killed run was here
packages=$(missing)
[ -n "$packages" ] || exit 0
install $packages

packages=$(missing)
if [ -n "$packages" ]; then
	say "installed, and yet not found:$packages" >&2
	exit 1
fi
say "done; no service was started or enabled"
