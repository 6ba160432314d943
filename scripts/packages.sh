# Debian packages that a host lacks, for the scripts that install some; sourced, not run.

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need PROGRAM PACKAGE...: notes the packages down when there is no such program.
missing=()
need() { command -v "$1" >/dev/null || missing+=("${@:2}"); }

install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
