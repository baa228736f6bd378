"""What a run's policy says of where its tasks run."""

from rhapsody_parsl.in_block.context import Context, Run
from rhapsody_parsl.wire.messages import Setting

__all__ = ("SANDBOXES", "setting_of", "variables_of")

SANDBOXES = "sandboxes"
"""The folder, beside the block's logs, in which tasks have folders of their own."""


def setting_of(context: Context, run: Run) -> Setting | None:
    """Return where tasks of a run are, None for where the block is."""
    policy, is_gang = run.spec.policy, run.spec.resources.is_mpi
    if policy.sandbox:
        return Setting(policy.cwd, policy.cwd or str(context.logs / SANDBOXES), is_gang)
    return Setting(policy.cwd, port=is_gang) if policy.cwd or is_gang else None


def variables_of(run: Run) -> dict[str, str]:
    """Return the environment variables that the user says; they come before all others."""
    return dict(run.spec.policy.env)
