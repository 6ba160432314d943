# How the steps of this spec run without kiln: in the environment that kiln gives them, with bundled
# libraries in folders of this build instead of where they will be installed.

# The program search path of every step.
kiln_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# kiln_unpack ARCHIVE FOLDER: a single top folder is left out; permissions as with umask 022, times
# in whole seconds.
kiln_unpack() {
  rm -rf "$kiln/unpack"
  mkdir -p "$kiln/unpack" "$(dirname "$2")"
  tar -xf "$1" -C "$kiln/unpack" --no-same-owner --no-same-permissions
  kiln_top=$kiln/unpack
  kiln_only=$(ls -A "$kiln_top")
  if [ -n "$kiln_only" ] && [ -d "$kiln_top/$kiln_only" ] && ! [ -L "$kiln_top/$kiln_only" ]; then
    kiln_top=$kiln_top/$kiln_only
  fi
  chmod -R u+rwX,go-w,a-s "$kiln_top"
  if find "$kiln_top" -printf '%T@\n' | grep -q '[.]0*[1-9]'; then
    find "$kiln_top" -depth -exec sh -c '
      for file do touch --no-dereference --date="@$(stat -c %Y "$file")" "$file"; done' sh {} +
  fi
  mv "$kiln_top" "$2"
  rm -rf "$kiln/unpack"
}

# kiln_compilers NODE SOURCES: compilers that leave the folders of this build out of programs. Their
# flags would do the same, but some programs tell which flags they were compiled with.
kiln_compilers() {
  mkdir -p "$kiln/nodes/$1/bin"
  for compiler in cc c++ gcc g++ c89 c99; do
    real=$(PATH=$kiln_path command -v "$compiler") || continue
    printf '#!/bin/sh\nexec "%s" "-fmacro-prefix-map=%s=." "-fmacro-prefix-map=%s=" "-fdebug-prefix-map=%s=" "$@"\n' \
      "$real" "$2" "$kiln/bundle/$1" "$kiln/bundle/$1" > "$kiln/nodes/$1/bin/$compiler"
    chmod 0755 "$kiln/nodes/$1/bin/$compiler"
  done
}

# kiln_bundle NODE LIBRARY...: puts what libraries installed where the steps of a node find it.
kiln_bundle() {
  node=$1
  shift
  mkdir -p "$kiln/bundle/$node"
  for library do
    cp -a "$kiln/destdir/$library/." "$kiln/bundle/$node/"
  done
}

# kiln_text FILE: writes the lines of standard input, without the mark that each begins with.
kiln_text() {
  sed 's/^|//' > "$1"
}

# kiln_run NODE STEP: runs the script on standard input as a step.
kiln_run() {
  kiln_text "$kiln/nodes/$1/$2.sh"
  echo "kiln: $1: $2" >&2
  env -i KILN_JOBS="${RPM_BUILD_NCPUS:-$(nproc)}" /bin/sh -c 'kiln_step=$1; . "$0"; . "$kiln_step"' \
    "$kiln/nodes/$1/environment" "$kiln/nodes/$1/$2.sh" < /dev/null
}

# kiln_check_places FOLDER: fails when an installed file names a folder of this build.
kiln_check_places() {
  found=$(find "$1" -path "$1/usr/lib/debug" -prune -o -path "$1/usr/src/debug" -prune \
    -o -type f -exec grep -lF -e "$kiln/" {} + || :)
  if [ -n "$found" ]; then
    echo "kiln: these files name folders below $kiln, where nothing will be:" >&2
    echo "$found" >&2
    exit 1
  fi
}
