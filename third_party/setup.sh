# What experiments/demo and tests/run share: install what is missing, configure, build. Sourced, not run.
readonly root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly me=$(basename "$(dirname "$0")")/${0##*/}
readonly cores=$(nproc)
export LC_NUMERIC=C  # decimal points in what is printed, whatever the language
cd "$root"
trap 'echo; fail "interrupted" 130' INT

say() { printf '%s: %s\n' "$me" "$*"; }
fail() { printf '%s: %s\n' "$me" "$1" >&2; exit "${2:-1}"; }
unknown_flag() { fail "unknown argument $1 (see --help)" 2; }

# missing_packages LIST...: the packages named in these files that are not installed for the processors of this machine;
# of a library that is installed for others, too, dpkg-query says a line for each.
missing_packages() {
  local package own
  own=$(dpkg --print-architecture)
  for package in $(cat "$@"); do
    dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "$package" 2>/dev/null |
      grep -Eqx "($own|all) installed" || echo "$package"
  done
}

# install_packages yes|no LIST...: installs with apt what is missing, or (no) only says what is. Silent when nothing is.
install_packages() {
  local install=$1
  shift
  command -v dpkg-query >/dev/null || { say "no dpkg here: taking it that the packages in $* are present"; return; }
  local missing sudo=() log start=$SECONDS
  missing=$(missing_packages "$@" | xargs)
  [[ -n $missing ]] || return 0
  [[ $install == yes ]] || { say "not installed as packages (going on without): $missing"; return; }
  if (( EUID != 0 )); then
    command -v sudo >/dev/null || fail "not installed: $missing; run as root or install sudo"
    sudo=(sudo)
  fi
  say "installing with apt-get${sudo:+ (sudo)}: $missing"
  log=$(mktemp)
  { "${sudo[@]}" apt-get -q update &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing; } \
    </dev/null >"$log" 2>&1 || fail "apt-get could not install: $missing (no network? its output: $log)"
  rm -f "$log"
  say "installed in $((SECONDS - start)) s"
}

# build PRESET [TARGET...]: configures where that was never done (or always, with configure_flags), then builds.
configure_flags=()
build() {
  local preset=$1 quiet=() targets=() start=$SECONDS
  shift
  (( $# == 0 )) || targets=(--target "$@")
  [[ -t 1 ]] || quiet=(-- --quiet)
  if [[ ! -f build/$preset/build.ninja || ${#configure_flags[@]} -gt 0 ]]; then
    say "configuring build/$preset"
    mkdir -p build
    cmake --preset "$preset" "${configure_flags[@]}" >"build/configure-$preset.log" 2>&1 ||
      { cat "build/configure-$preset.log" >&2; fail "cmake could not configure $preset"; }
  fi
  say "building build/$preset on $cores cores"
  cmake --build --preset "$preset" -j "$cores" "${targets[@]}" "${quiet[@]}" || fail "build of $preset failed"
  say "built build/$preset in $((SECONDS - start)) s"
}
