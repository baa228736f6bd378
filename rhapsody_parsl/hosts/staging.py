"""Python's environment on a host's own disk: packed once for all hosts, and unpacked by each into its private folder.

Standard library only. A virtual environment brings along what it uses of the Python below it. That of the operating
system stays where it is: each host has it on its own disk. Files in which the environment's place is written are
mended.
"""

import contextlib
import errno
import glob
import json
import os
import sys
import tarfile
from collections.abc import Mapping, MutableMapping
from io import BytesIO

from rhapsody_parsl.hosts import leftovers

__all__ = ("archive_of", "enter", "original", "pack", "remove", "there", "unpack")

_STAGED = "RHAPSODY_STAGED"
"""Variable of processes that run staged: the archive, and what became of each folder."""
_FOLDER, _FACTS = "staged", "origin.json"
_OF_THE_SYSTEM = ("/usr", "/usr/local")
_OF_OTHERS = ("env/pkgs", "env/envs")
"""What a root environment of conda keeps of others."""
_NOT_OF_BASE = {"test", "idlelib", "ensurepip", "site-packages", "dist-packages"}
_PATHS = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")
_VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def pack(archive: str) -> None:
    """Write this process's environment into an archive; nothing when another block has done so.

    Args:
        archive: Its path, where all hosts see it.

    Raises:
        OSError: There is no room, or something cannot be read.
    """
    if os.path.exists(archive):
        return
    part = f"{archive}.{os.getpid()}"
    try:
        with _Archive.open(part, "w") as tar:
            _add_facts(tar)
            tar.add(sys.prefix, "env", filter=_wanted)
            if "base" in _origin():
                _add_base(tar)
        os.replace(part, archive)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


class _Archive(tarfile.TarFile):
    """Leaves out what cannot be read, or goes meanwhile: no process of ours could use it either."""

    def add(self, *arguments: object, **options: object) -> None:  # as it calls itself
        with contextlib.suppress(FileNotFoundError, PermissionError):
            super().add(*arguments, **options)  # type: ignore[arg-type]  # its own


def unpack(archive: str, private: str) -> "dict[str, str]":
    """Unpack an archive on this host; return what became of each folder that is in it.

    Args:
        archive: Its path.
        private: The block's folder.

    Raises:
        OSError: There is no room, no program can be run there, or the archive cannot be read.
    """
    place = os.path.join(private, _FOLDER)
    try:
        with tarfile.open(archive) as tar:
            tar.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)  # it is our own, with absolute links
            tar.extractall(place)  # noqa: S202 - as said
    except tarfile.TarError as problem:
        raise OSError(f"{archive} cannot be unpacked: {problem}") from problem
    with open(os.path.join(place, _FACTS)) as file:
        origin: dict[str, str] = json.load(file)
    moved = {before: os.path.join(place, name) for name, before in origin.items()}
    _mend(os.path.join(place, "env"), moved)
    if not os.access(there(sys.executable, moved), os.X_OK):
        raise OSError(errno.EACCES, "no program can be run there (is it mounted noexec?)", place)
    return moved


def enter(archive: str, moved: "Mapping[str, str]", environment: "MutableMapping[str, str]") -> str:
    """Have processes with this environment run staged; return the path of their Python.

    Args:
        archive: For other hosts.
        moved: As `unpack` says.
        environment: Changed in place.
    """
    for name in _PATHS:
        if name in environment:
            environment[name] = os.pathsep.join(there(path, moved) for path in environment[name].split(os.pathsep))
    environment[_STAGED] = json.dumps({"archive": archive, "moved": dict(moved)})
    return there(sys.executable, moved)


def remove(private: str) -> None:
    """Remove what is staged on this host, as far as that can be done: a process that runs from it imports no more.

    Args:
        private: The block's folder.
    """
    leftovers.remove_tree(os.path.join(private, _FOLDER))


def archive_of(environment: "Mapping[str, str]") -> str:
    """Return the archive from which a process runs staged; "" for one that does not."""
    return str(json.loads(environment[_STAGED])["archive"]) if _STAGED in environment else ""


def original(path: str, environment: "Mapping[str, str]") -> str:
    """Return where a file of the environment was before it was staged: there hosts find it that have nothing yet."""
    moved = json.loads(environment[_STAGED])["moved"] if _STAGED in environment else {}
    return there(path, {after: before for before, after in moved.items()})


def there(path: str, moved: "Mapping[str, str]") -> str:
    """Return where a file is staged; one of no folder that is, stays."""
    for before in sorted(moved, key=len, reverse=True):  # a virtual environment may lie in the Python below it
        if path == before or path.startswith(before + os.sep):
            return moved[before] + path[len(before) :]
    return path


def _origin() -> "dict[str, str]":
    """Return the folders of this process's environment, by their names in the archive."""
    own = {"env": sys.prefix}
    return own if sys.base_prefix in (sys.prefix, *_OF_THE_SYSTEM) else {**own, "base": sys.base_prefix}


def _add_facts(tar: tarfile.TarFile) -> None:
    text = json.dumps(_origin()).encode()
    facts = tarfile.TarInfo(_FACTS)
    facts.size = len(text)
    tar.addfile(facts, BytesIO(text))


def _add_base(tar: tarfile.TarFile) -> None:
    """Add the interpreter and the standard library; packages beside it are none of a virtual environment's."""
    base = sys.base_prefix
    tar.add(os.path.realpath(sys.executable), f"base/bin/{os.path.basename(os.path.realpath(sys.executable))}")
    tar.add(os.path.join(base, "lib", _VERSION), f"base/lib/{_VERSION}", filter=_of_base)
    for library in glob.glob(os.path.join(glob.escape(base), "lib", "libpython*")):
        tar.add(library, f"base/lib/{os.path.basename(library)}")


def _wanted(member: tarfile.TarInfo) -> "tarfile.TarInfo | None":
    return None if member.name in _OF_OTHERS else member


def _of_base(member: tarfile.TarInfo) -> "tarfile.TarInfo | None":
    inside = member.name.split("/")[3:4]
    return None if inside and inside[0] in _NOT_OF_BASE else member


def _mend(env: str, moved: "Mapping[str, str]") -> None:
    """Have links, scripts and the settings of a virtual environment lead to what is staged."""
    config = os.path.join(env, "pyvenv.cfg")
    if os.path.exists(config):
        _rewrite(config, moved, whole=True)
    for entry in list(os.scandir(os.path.join(env, "bin"))):
        if entry.is_symlink():
            target = os.readlink(entry.path)
            if (new := there(target, moved)) != target:
                os.unlink(entry.path)
                os.symlink(new, entry.path)
        elif entry.is_file():
            _rewrite(entry.path, moved)


def _rewrite(path: str, moved: "Mapping[str, str]", whole: bool = False) -> None:
    """Put the new places into a file: all of it, or the first line of a script."""
    with open(path, "rb") as file:
        text = file.read()
    head, line, rest = (text, b"", b"") if whole else text.partition(b"\n")
    if not whole and not head.startswith(b"#!"):
        return
    for before in sorted(moved, key=len, reverse=True):
        head = head.replace(os.fsencode(before) + b"/", os.fsencode(moved[before]) + b"/")
    with open(path, "wb") as file:
        file.write(head + line + rest)
