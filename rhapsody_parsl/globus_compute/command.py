"""`rhapsody-globus-compute-endpoint`: Globus Compute's own command, which then knows `RhapsodyEngine`."""

import sys

__all__ = ("main", "register")


def register() -> None:
    """Let an endpoint's YAML say `type: RhapsodyEngine`: Globus Compute looks the name up among its engines."""
    import globus_compute_endpoint.engines as known  # noqa: PLC0415 - not everyone who imports us has it

    from rhapsody_parsl.globus_compute.engine import RhapsodyEngine  # noqa: PLC0415 - as above

    known.RhapsodyEngine = RhapsodyEngine


def main() -> None:
    """Run `globus-compute-endpoint` with the arguments of our command line."""
    try:
        register()
    except ImportError as problem:
        sys.exit(f"{problem}. Install it with: pip install 'rhapsody-parsl[globus]'")
    from globus_compute_endpoint.cli import cli_run  # noqa: PLC0415 - as above

    cli_run()
