"""The folder of a ready endpoint, as `globus-compute-endpoint configure` writes it, with our engine in its template."""

import json
import shlex
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from globus_compute_endpoint.endpoint.endpoint import Endpoint
from globus_compute_endpoint.endpoint.utils import is_privileged
from globus_compute_sdk.sdk.compute_dir import get_compute_dir

from rhapsody_parsl.errors import RhapsodyError

__all__ = ("COMMAND", "TEMPLATES", "EndpointFolder", "write_endpoint")

COMMAND = "globus-compute-endpoint"
TEMPLATES = ("local", "slurm")
_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_PACKAGED = files("rhapsody_parsl.globus_compute") / "templates"
_WRAPPER = """#!/bin/sh
# Globus Compute's own command, which then knows RhapsodyEngine: user_environment.yaml puts it first on PATH.
exec {python} -m rhapsody_parsl.globus_compute "$@"
"""
_ENVIRONMENT = """# Variables of the user endpoints. PATH leads to a globus-compute-endpoint that knows RhapsodyEngine.
PATH: {path}
"""


@dataclass(frozen=True)
class EndpointFolder:
    """Where the parts of an endpoint are.

    Attributes:
        path: The folder; its name is the endpoint's.
    """

    path: Path

    @property
    def template(self) -> Path:
        """The user endpoints' configuration."""
        return self.path / "user_config_template.yaml.j2"

    @property
    def environment(self) -> Path:
        """The user endpoints' variables."""
        return self.path / "user_environment.yaml"

    @property
    def command(self) -> Path:
        """The command that the core endpoint starts user endpoints with."""
        return self.path / "bin" / COMMAND


def write_endpoint(name: str, template: str = "local", contact_email: str | None = None) -> EndpointFolder:
    """Write the folder of an endpoint.

    Args:
        name: The endpoint's.
        template: A name of `TEMPLATES`, or the path of a file.
        contact_email: Globus Compute wants one of an endpoint that runs as root.

    Raises:
        RhapsodyError: The name cannot be, the folder is there already, or the template is not.
    """
    folder = EndpointFolder(Path(get_compute_dir()).absolute() / name)
    source = Path(str(_PACKAGED / f"{template}.yaml.j2")) if template in TEMPLATES else Path(template)
    _check(name, folder, source)
    if is_privileged() and not contact_email:
        raise RhapsodyError("Globus Compute wants a contact of an endpoint that runs as root: give --contact-email.")
    Endpoint.init_endpoint_dir(
        folder.path,
        user_config_template=source,
        user_config_schema=Path(str(_PACKAGED / "user_config_schema.json")),
        contact_email=contact_email,
    )
    folder.command.parent.mkdir(mode=0o755)
    folder.command.write_text(_WRAPPER.format(python=shlex.quote(sys.executable)))
    folder.command.chmod(0o755)
    path = ":".join([str(folder.command.parent), str(Path(sys.executable).parent), *_PATH])
    folder.environment.write_text(_ENVIRONMENT.format(path=json.dumps(path)))  # JSON is YAML
    return folder


def _check(name: str, folder: EndpointFolder, source: Path) -> None:
    try:
        Endpoint.validate_endpoint_name(name)
    except ValueError as problem:
        raise RhapsodyError(f"{problem}.") from None
    if folder.path.exists():
        raise RhapsodyError(f"{folder.path} is there already: remove it, or take another name.")
    if not source.is_file():
        raise RhapsodyError(f"There is no template {source}: give a file, or one of {', '.join(TEMPLATES)}.")
