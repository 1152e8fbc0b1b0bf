# Sourced by the other scripts and by the Dockerfile: makes virtual environments from a lock file.
# Nothing is resolved while installing, so a release of tomorrow changes nothing.
# shellcheck shell=bash

say() {
  [ ! -t 2 ] || printf '\r\033[K' >&2
  printf '\033[1m%s\033[0m\n' "$*" >&2
}

fail() {
  [ ! -t 2 ] || printf '\r\033[K' >&2
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# install_system_packages NAME...: Debian packages, with sudo when not root.
install_system_packages() {
  command -v apt-get >/dev/null ||
    fail "apt-get is not here; install with your system's package manager and run again: $*"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "run as root, then run this again: apt-get install $*"
    as_root=(sudo)
  fi
  say "Installing system packages: $*"
  "${as_root[@]}" apt-get update -qq >&2 || true # an unreachable source may not matter
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    fail "apt-get could not install $*; correct what it says above and run this again"
}

# suitable_python PYTHON [VERSION]: prints the path of an interpreter that is supported.
suitable_python() {
  "$1" -c 'import sys
version = "%d.%d" % sys.version_info[:2]
if not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.argv[1] not in ("", version):
    sys.exit(1)
print(sys.executable)' "${2:-}" 2>/dev/null
}

# search_python VERSION...: prints the first such Python that is on PATH, in pyenv or FEED_PYTHON.
search_python() {
  local version candidate
  for version in "$@"; do
    for candidate in ${FEED_PYTHON:+"$FEED_PYTHON"} "python$version" python3 \
      "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
      if suitable_python "$candidate" "$version"; then return; fi
    done
  done
  return 1
}

# find_python: prints FEED_PYTHON, or else a supported Python, installing Debian's if need be.
find_python() {
  if [ -n "${FEED_PYTHON:-}" ]; then
    { suitable_python "$FEED_PYTHON" >/dev/null && command -v "$FEED_PYTHON"; } ||
      fail "FEED_PYTHON=$FEED_PYTHON is not a Python from 3.11 to 3.14; name another or unset it"
    return
  fi
  if suitable_python python3 || search_python 3.14 3.13 3.12 3.11; then return; fi
  install_system_packages python3 python3-venv
  suitable_python python3 ||
    fail "Python 3.11 to 3.14 is needed and the system has $(python3 --version 2>&1);" \
      "install one and name it: FEED_PYTHON=/path/to/python"
}

# download_size LOCK PYTHON: prints what an installation downloads, from the head of the lock.
download_size() {
  local key files bytes names
  key=$("$2" -c 'import platform, sys
print("%s-%s-%d.%d" % (sys.platform, platform.machine(), *sys.version_info[:2]))')
  read -r files _ bytes names < <(sed -n "s/^# Download for $key: //p" "$1") || return 0
  [ "$files" != no ] || fail "there is no ready-made package of $names for $key"
  printf '%s MB in %s files' "$(((bytes + 500000) / 1000000))" "$files"
}

# show_progress DIRECTORY: one line on the terminal that moves each second, until it is killed.
show_progress() {
  local start=$SECONDS downloaded installed
  exec 3>&2 2>/dev/null # what du and cut say when they are ended is of no use
  while kill -0 $$ 2>/dev/null; do
    downloaded=$(du -sm "$1/tmp" | cut -f1) || true
    installed=$(du -sm "$1/lib" | cut -f1) || true
    printf '\r\033[K  %s s: %s MB downloaded, %s MB installed' \
      $((SECONDS - start)) "${downloaded:-0}" "${installed:-0}" >&3
    sleep 1
  done
}

# explain_failure LOG: ends with what to do about what pip said.
explain_failure() {
  local log=$1
  if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
    fail "a downloaded file is not the one that was locked, so nothing was installed; run again" \
      "with PIP_NO_CACHE_DIR=1, and if it stays so, do not trust the index or mirror you use"
  elif grep -qE 'No space left|Errno 28|Errno 122' "$log"; then
    fail "the disk is full: make space where this directory is and run again"
  elif grep -qE 'NewConnectionError|NameResolutionError|Max retries exceeded|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Connection (reset|aborted|refused)|ProtocolError|IncompleteRead|HTTP error' "$log"; then
    fail "the package index cannot be reached; check the network, a proxy (HTTPS_PROXY) or a" \
      "mirror (PIP_INDEX_URL), then run again"
  elif grep -qE 'No matching distribution|not a supported wheel' "$log"; then
    fail "the index has no ready-made file of the package above for this Python and machine;" \
      "try another Python from 3.11 to 3.14 (FEED_PYTHON=/path/to/python) or a complete mirror"
  elif grep -qE 'which is not installed|has requirement .* but you have' "$log"; then
    grep -hoE '[^ ]+ [^ ]+ (requires .* which is not installed|has requirement .*)' "$log" >&2
    fail "the lock does not hold what pyproject.toml asks for: run scripts/lock"
  fi
  fail "pip did not finish; its last words are above, all of them in $log"
}

# run_pip PYTHON ARGUMENT...: runs pip, and says what to do when it fails.
run_pip() {
  local python=$1 log
  shift
  log=$(mktemp) || fail "no temporary file can be made: is the disk full?"
  "$python" -m pip --disable-pip-version-check --no-input --log "$log" "$@" >/dev/null ||
    explain_failure "$log"
  rm -f "$log"
}

# install_lock DIRECTORY LOCK: what LOCK names, into a virtual environment. pip is the one that
# Python brings: with every file named by its hash and nothing to resolve, its version does not
# matter. Wheels only, because building a package would ask the index for its build requirements.
install_lock() {
  local directory=$1 lock=$2 scratch
  scratch=$(cd "$directory" && pwd)/tmp
  mkdir -p "$scratch"
  TMPDIR=$scratch run_pip "$directory/bin/python" install -q --progress-bar off \
    --no-deps --require-hashes --only-binary :all: -r "$lock"
  rm -rf "$scratch"
}

# create_environment DIRECTORY LOCK PYTHON: a new virtual environment with what LOCK names.
create_environment() {
  "$3" -m venv --clear "$1" || fail "$3 cannot make a virtual environment in $1; see above"
  install_lock "$1" "$2"
}

# install_project PYTHON [-e] SOURCE: feed itself, without the network; then the final check that
# every requirement is there in a version that fits.
install_project() {
  local python=$1
  shift
  run_pip "$python" install -q --no-deps --no-index --no-build-isolation "$@"
  run_pip "$python" check
}

# make_environment DIRECTORY LOCK [PYTHON]: an environment that holds exactly what LOCK names, and
# feed. One that was finished before is kept; one that was not is made anew.
# shellcheck disable=SC2094 # the directory is opened as a lock, not read
make_environment() {
  local directory=$1 lock=$2 python stamp size
  python=${3:-$(find_python)}
  stamp="$python $("$python" --version) $PWD $(cat "$lock" pyproject.toml | sha256sum)"
  mkdir -p "$directory"
  (
    # Held by whoever makes the environment, even by a pip whose script was killed.
    if command -v flock >/dev/null && ! flock -n 9; then
      say "Waiting for another run to finish $directory" && flock 9
    fi
    if [ "$(cat "$directory/.stamp" 2>/dev/null)" = "$stamp" ] &&
      "$directory/bin/python" -c '' 2>/dev/null; then
      say "Using $directory, made before from $lock"
      exit
    fi
    size=$(download_size "$lock" "$python")
    say "Making $directory with $("$python" --version) from $lock (once):" \
      "downloads ${size:-the packages}, less what pip has kept"
    # The wheels of implicit and lightgbm link the system's OpenMP runtime.
    "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null ||
      install_system_packages libgomp1
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
      install_system_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    if [ -t 2 ]; then
      show_progress "$directory" 9<&- &
      # shellcheck disable=SC2064 # the number is of now
      trap "kill $! 2>/dev/null || true" EXIT
    fi
    create_environment "$directory" "$lock" "$python"
    install_project "$directory/bin/python" -e .
    printf '%s\n' "$stamp" >"$directory/.stamp"
    say "$directory is ready"
  ) 9<"$directory"
}
