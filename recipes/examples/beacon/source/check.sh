#!/bin/sh
# Starts Beacon on a free port and asks it what it must know without network or memcached.
set -eu
build/bin/beacon --versions
build/bin/beacon --lookup 127.0.0.1 | grep -qx 127.0.0.1
if build/bin/beacon --listen nowhere:0 2>/dev/null; then
    echo "a port of 0 must be refused" >&2
    exit 1
fi
echo "beacon: checked"
