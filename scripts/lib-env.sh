# Sourced by the scripts beside it: makes or refreshes .venv at the root of the checkout.
# Sets ROOT and leaves the caller there. PYTHON, if set, names the interpreter to use.
# shellcheck shell=bash

set -euo pipefail
ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$ROOT"
VENV=$ROOT/.venv

die() {
    printf 'waypost: %s\n' "$*" >&2
    exit 1
}

# Prints "3.x.y" if $1 runs and the project supports it (requires-python in pyproject.toml). A name on PATH proves nothing: version managers
# leave launchers for interpreters that are not installed.
python_version() {
    "$1" -c 'import sys
if sys.version_info < (3, 11): sys.exit(1)
print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        python_version "$PYTHON" >/dev/null || die "PYTHON=$PYTHON does not run, or is older than Python 3.11; name a newer one"
        printf '%s\n' "$PYTHON"
        return
    fi
    # First those that the tests run with.
    for candidate in "$VENV/bin/python" python3.13 python3.12 python3.11 python3.14 python3 python; do
        if python_version "$candidate" >/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "found no Python 3.11 or newer that runs. Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.13), or name it: PYTHON=/path/to/python $0"
}

make_venv() {
    local python=$1 minor
    minor=$("$python" -c 'import sys; print("3.%d" % sys.version_info[1])')
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "Python $minor cannot make virtual environments (no ensurepip). Debian, Ubuntu: apt install python$minor-venv"
    rm -rf -- "$VENV"
    "$python" -m venv "$VENV" || die "could not make $VENV with $python; see above"
}

stamp_of() {
    { cat pyproject.toml constraints.txt; printf '%s\n' "$1"; } |
        "$VENV/bin/python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
}

set_up() {
    local python version stamp
    python=$(find_python)
    version=$(python_version "$python")
    if [ "$(python_version "$VENV/bin/python" || true)" != "$version" ]; then
        echo "waypost: making .venv with Python $version" >&2
        make_venv "$python"
    fi
    stamp=$(stamp_of "$version")
    if [ "$(cat "$VENV/.waypost-stamp" 2>/dev/null || true)" != "$stamp" ]; then
        echo "waypost: installing into .venv" >&2
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' ||
            die "the installation failed; see above. It needs a package index, on the network or named in pip's configuration"
        printf '%s\n' "$stamp" >"$VENV/.waypost-stamp"
    fi
}

# Two scripts started at once must not install over each other; flock is absent on macOS, and then the user minds it.
if command -v flock >/dev/null; then
    exec 9>"${TMPDIR:-/tmp}/waypost-env-$(id -u).lock"
    flock 9
    set_up 9>&-
    exec 9>&-
else
    set_up
fi
