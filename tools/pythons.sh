# Sourced: `find_python 3.12 MODULES` prints the first Python of that version that has these modules, or fails.
# A name on PATH proves nothing: pyenv puts names there that fail when called, and Debian's Pythons have no ensurepip
# unless asked.
find_python() {
    local candidate
    while read -r candidate; do
        "$candidate" -c "import ${2:-sys}" 2>/dev/null && echo "$candidate" && return
    done < <(type -ap "python$1"; ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python 2>/dev/null)
    return 1
}
