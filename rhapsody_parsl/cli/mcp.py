"""`rhapsody-parsl mcp SCRIPT`: the apps of a script as tools for agents, by the Model Context Protocol (MCP)."""

import argparse
import ast
import asyncio
import contextlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from rhapsody_parsl.apps_as_tools.call import seen, told
from rhapsody_parsl.apps_as_tools.signature import about, check_schemas, chosen, name_of, placed
from rhapsody_parsl.errors import InvalidTask, MissingPackage, RhapsodyError
from rhapsody_parsl.telling import repr_of

__all__ = ("add", "apps_of", "as_tool")


def add(commands: Any) -> None:
    """Add the subcommand's parser."""
    serve = commands.add_parser("mcp", help="serve the apps of a script as tools for agents (MCP, standard streams)")
    serve.add_argument("script", type=Path, help="defines apps, and `config`, a parsl.Config")
    serve.add_argument("--name", default="rhapsody-parsl", help="what the server calls itself")
    serve.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    try:
        from mcp.server.mcpserver import MCPServer  # noqa: PLC0415 - it loads much
    except ImportError as problem:
        raise MissingPackage(problem.name or "mcp", "mcp", "here") from None
    wire = sys.stdout
    with contextlib.redirect_stdout(sys.stderr), _loaded(arguments.script) as apps:
        server: Any = MCPServer(arguments.name, log_level="WARNING")
        for name, app in apps.items():
            server.add_tool(as_tool(app), name=name, description=about(app))
        with contextlib.redirect_stdout(wire):
            asyncio.run(server.run_stdio_async())
    return 0


@contextlib.contextmanager
def _loaded(script: Path) -> Iterator[dict[str, Any]]:
    """Run a script and load its configuration for as long as the block lasts.

    Yields:
        Its apps, by name.

    Raises:
        RhapsodyError: It defines no app, or no `config`.
    """
    import parsl  # noqa: PLC0415 - a second, which the other subcommands need not wait for

    found = run(script)
    apps, config = apps_of(found), found.get("config")
    if not apps:
        raise RhapsodyError(f"{script} defines no app. Decorate a function with @python_app or @bash_app.")
    if not isinstance(config, parsl.Config):
        raise RhapsodyError(f"{script} defines no `config`. Write config = parsl.Config(executors=[...]) in it.")
    with parsl.load(config):
        yield apps


def run(script: Path) -> dict[str, Any]:
    """Return the names of a script that is run as `__main__`, but for what stands below `if __name__ == "__main__":`.

    As in `__main__`, functions travel by value.

    Raises:
        InvalidTask: There is no such file.
    """
    if not script.is_file():
        raise InvalidTask("script", str(script), "there is no such file", "Give the path of a Python script")
    sys.path.insert(0, str(script.parent.absolute()))
    tree = ast.parse(script.read_text(), str(script))
    tree.body = [statement for statement in tree.body if not _is_guard(statement)]
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = str(script)
    exec(compile(tree, str(script), "exec"), main.__dict__)  # noqa: S102 - the user's script, as Python runs it
    return main.__dict__


def _is_guard(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "__name__ == '__main__'"


def apps_of(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the apps among the names of a module, but for those with a leading underscore."""
    from parsl.app.app import AppBase  # noqa: PLC0415 - as above

    return {name: app for name, app in names.items() if isinstance(app, AppBase) and not name.startswith("_")}


def as_tool(app: Any) -> Callable[..., Any]:
    """Return what the server calls for an app: a coroutine function with the app's parameters."""
    from mcp.server.mcpserver import Context  # noqa: PLC0415 - it loads much
    from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415 - as above
    from mcp.server.mcpserver.tools import Tool  # noqa: PLC0415 - as above

    async def call(rhapsody_context: Any, **arguments: Any) -> Any:
        try:
            args, kwargs = placed(app, arguments)
            future = app(*args, **kwargs)
            return _answer(metadata, await seen(app, future, partial(_progress, rhapsody_context, future)))
        except Exception as problem:  # whatever the app raises is for the model to read
            raise ToolError(told(problem)) from problem

    check_schemas(app)
    own = chosen(app)
    context = inspect.Parameter("rhapsody_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Context)
    parameters = [context, *own.parameters.values()]
    call.__name__ = name_of(app)
    call.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # read by inspect
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__annotations__["return"] = own.return_annotation
    metadata = Tool.from_function(call).fn_metadata
    return call


def _answer(metadata: Any, value: Any) -> Any:
    """Return what the client gets for a value; one that is not what the app says it gives would be kept from the model.

    Raises:
        ValueError: It is such a value, and shown.
    """
    try:
        answer = metadata.convert_result(value)
        json.dumps(answer.structured_content, allow_nan=False)
    except Exception as problem:  # noqa: BLE001 - whatever pydantic raises
        said = f"The app gave {repr_of(value)}, which does not fit the annotation of what it returns: {problem}"
        raise ValueError(said) from None
    return answer


async def _progress(context: Any, future: Any, seconds: float) -> None:
    """Tell the client how long a call has taken, and what Parsl says of it."""
    await context.report_progress(seconds, message=str(future.task_status()))
