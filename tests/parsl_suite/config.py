"""The configuration that Parsl's own test suite runs with: Dragon, one local block."""

from parsl import Config
from parsl.data_provider.file_noop import NoOpFileStaging
from parsl.data_provider.ftp import FTPInTaskStaging
from parsl.data_provider.http import HTTPInTaskStaging
from parsl.data_provider.zip import ZipFileStaging
from parsl.launchers import SimpleLauncher
from parsl.providers import LocalProvider

from rhapsody_parsl import DragonRuntime, RhapsodyExecutor


def fresh_config() -> Config:
    """Return what the suite's `--config` file is asked for."""
    return Config(
        executors=[
            RhapsodyExecutor(
                label="rhapsody",
                runtimes=[DragonRuntime()],
                storage_access=[FTPInTaskStaging(), HTTPInTaskStaging(), NoOpFileStaging(), ZipFileStaging()],
                provider=LocalProvider(init_blocks=1, max_blocks=1, launcher=SimpleLauncher()),
            )
        ],
        strategy="none",
    )
