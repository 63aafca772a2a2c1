#!/bin/sh
# Stands in for the agent, which would make a node of the host that this runs on. Its program is copied with as much behind its
# end as makes it as large as the real one.
case "$1 $2" in
preflight*) cat <<END
{"agentVersion":"test","facts":{"architecture":"amd64","os":"Debian GNU/Linux 12 (bookworm)","kernelRelease":"6.1.0","cpus":4,"memoryBytes":8589934592,"cgroupVersion":2,"machineID":"abc"},"findings":[]}
END
;;
"install --bootstrap") mkdir -p /run/drover && echo '{}' >/run/drover/boot.json ;;
*) echo "unknown: $*" >&2; exit 64 ;;
esac
