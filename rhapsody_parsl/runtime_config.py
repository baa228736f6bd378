"""The base of what users configure of a runtime, and what each kind of runtime says of itself beside."""

from rhapsody_parsl.checked_settings import CheckedSettings
from rhapsody_parsl.runtime_table import RuntimeKind

__all__ = ("RuntimeConfig",)


class RuntimeConfig(CheckedSettings, RuntimeKind, frozen=True, kw_only=True):
    """A runtime of the blocks: its settings, and for all of its kind its name, what it takes and who implements it.

    A subclass says `name`, `takes` and `implementation`, and has fields for its settings. The driver writes these, and
    the pilot imports the class to read them: so its module can be imported in the block, and imports no Parsl.
    """

    @property
    def window(self) -> int:
        """How many tasks it wants at once that take no lease; 0 when all its tasks take one."""
        return 0

    def misfit(self) -> tuple[str, str]:
        """Return why this Python cannot run it, and what to do about that; two empty texts when it can."""
        return "", ""
