# Sourced by scripts/demo and scripts/test: makes a virtual environment from a lock file.
# shellcheck shell=bash

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# install_system_packages NAME...: Debian packages, with sudo when not root.
install_system_packages() {
  command -v apt-get >/dev/null || fail "please install with your system's package manager: $*"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "please install as root: apt-get install $*"
    as_root=(sudo)
  fi
  say "Installing system packages: $*"
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# find_python: prints a Python between 3.11 and 3.14, installing Debian's when there is none.
find_python() {
  local candidate
  for candidate in ${FEED_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c \
      'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  install_system_packages python3 python3-venv
  python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' ||
    fail "Python 3.11 to 3.14 is needed"
  command -v python3
}

# make_environment DIR LOCK: a virtual environment that holds exactly what LOCK names, and feed.
make_environment() {
  local directory=$1 lock=$2 python stamp
  python=$(find_python)
  stamp="$("$python" --version) $(cat "$lock" pyproject.toml | sha256sum)"
  if [ "$(cat "$directory/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  # The wheels of implicit and lightgbm link the system's OpenMP runtime.
  "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null ||
    install_system_packages libgomp1
  "$python" -c 'import ensurepip, venv' 2>/dev/null || install_system_packages python3-venv
  say "Making $directory from $lock (once; about a minute)"
  "$python" -m venv --clear "$directory"
  "$directory/bin/python" -m pip --disable-pip-version-check install -q \
    --no-deps --require-hashes -r "$lock"
  "$directory/bin/python" -m pip --disable-pip-version-check install -q \
    --no-deps --no-build-isolation -e .
  printf '%s\n' "$stamp" >"$directory/.stamp"
}
