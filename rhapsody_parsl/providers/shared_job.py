"""One job of a shared block as the driver knows it: what was ordered in it, and what became of each order."""

from pathlib import Path

from parsl.jobs.states import TERMINAL_STATES, JobState, JobStatus
from parsl.providers.base import ExecutionProvider

__all__ = ("SharedJob",)


class SharedJob:
    """A job whose supervisor reads a folder.

    Args:
        provider: The one that submitted it.
        id: Its number for the job.
        folder: The supervisor's.

    Attributes:
        status: Of each command, by the number of its order.
    """

    def __init__(self, provider: ExecutionProvider, id: object, folder: Path) -> None:  # noqa: A002 - the field's name
        self._provider, self.id, self.folder = provider, id, folder
        self.status: dict[str, JobStatus] = {}
        self._scripts: dict[str, Path] = {}
        self._cancelled: set[str] = set()
        self._closed = False

    def open(self) -> bool:
        """Whether it can take another command."""
        self.look()
        return not self._closed

    def ordered(self, number: str, script: Path) -> None:
        """A command was ordered."""
        self._scripts[number] = script
        self.status[number] = JobStatus(JobState.PENDING)

    def look(self) -> None:
        """Learn what has ended; when no command is left, end the job."""
        if self._closed:
            return
        job = self._provider.status([self.id])[0]
        for number in self._unfinished():
            self.status[number] = self._status_of(number, job)
        if job.terminal:
            self._closed = True
        else:
            self._close_unless_needed()

    def cancel(self, number: str) -> bool:
        """End a command, and the job with its last."""
        self.look()
        self._cancelled.add(number)
        if not self._closed:
            (self.folder / f"{number}.cancel").touch()
            self._close_unless_needed()
        return True

    def _unfinished(self) -> list[str]:
        return [number for number, status in self.status.items() if status.state not in TERMINAL_STATES]

    def _status_of(self, number: str, job: JobStatus) -> JobStatus:
        script = self._scripts[number]
        out, err = f"{script}.out", f"{script}.err"
        code = self._exit_code(number)
        if number in self._cancelled and (code is not None or job.terminal):
            return JobStatus(JobState.CANCELLED, exit_code=code)
        if code is not None:
            state = JobState.COMPLETED if code == 0 else JobState.FAILED
            return JobStatus(state, exit_code=code, stdout_path=out, stderr_path=err)
        message = (
            f"The shared job {self.id} ended under it. {job.message or ''}".strip() if job.terminal else job.message
        )
        return JobStatus(job.state, message, job.exit_code, job.stdout_path, job.stderr_path)

    def _exit_code(self, number: str) -> int | None:
        try:
            return int((self.folder / f"{number}.exit").read_text())
        except OSError:
            return None

    def _close_unless_needed(self) -> None:
        needed = [number for number in self._unfinished() if number not in self._cancelled]
        if self.status and not needed:
            self._closed = True
            self._provider.cancel([self.id])
            for number in self._unfinished():
                self.status[number] = JobStatus(JobState.CANCELLED)
