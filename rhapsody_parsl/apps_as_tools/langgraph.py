"""`tool` and `node`: apps in a graph of LangGraph, or in any agent that takes LangChain's tools."""

from typing import Any

from rhapsody_parsl.apps_as_tools.call import Call, outcome, read, seen, shown, told, value_of
from rhapsody_parsl.apps_as_tools.signature import about, check_schemas, chosen, name_of
from rhapsody_parsl.errors import InvalidTask, MissingPackage

__all__ = ("node", "tool")

_LANGCHAINS = ("config", "run_manager")
"""Parameters of LangChain's own call of a tool."""


def tool(app: Any, *, name: str = "", description: str = "") -> Any:
    """Return an app as a tool of LangChain's and LangGraph's: a `StructuredTool`, to invoke and to await.

    Its schema is the app's signature. What the app raises is the content of a message whose status is "error". Of a
    generator the list of its pieces is the content, and of a reference its value.

    Args:
        app: An app of Parsl's, or a function; one with `@annotate` runs as that says. Inside a task it runs in the
            task's block.
        name: What the model calls it; default the function's name.
        description: What the model is told; default the docstring.

    Raises:
        InvalidTask: An annotation of its parameters names what is not there, or a parameter's name cannot be used.
        MissingPackage: langchain-core is not installed.
    """
    try:
        from langchain_core.tools import StructuredTool, ToolException  # noqa: PLC0415 - half a second
        from pydantic import create_model  # noqa: PLC0415 - it comes with the former
    except ImportError as problem:
        raise _missing(problem) from None

    call, name = Call(app), name or name_of(app)

    def run(**arguments: Any) -> Any:
        try:
            future = call.chosen(arguments)
            pieces, value = read(app, future), value_of(future)
            return shown(value, pieces)
        except Exception as problem:  # whatever it is, the model reads it
            raise ToolException(told(problem)) from problem

    async def arun(**arguments: Any) -> Any:
        try:
            return await seen(app, call.chosen(arguments))
        except Exception as problem:  # as above
            raise ToolException(told(problem)) from problem

    return StructuredTool(
        name=name,
        description=description or about(app),
        args_schema=create_model(name, **_fields(app)),
        func=run,
        coroutine=arun,
        handle_tool_error=True,
    )


def node(app: Any, *, name: str = "") -> Any:
    """Return an app as a node of a LangGraph graph: it gets the state, and what it returns updates the state.

    What it raises is raised by the graph, so that a retry policy sees it.

    Args:
        app: As for `tool`; it takes the state.
        name: The node's; default the function's name.

    Raises:
        MissingPackage: langchain-core is not installed.
    """
    try:
        from langchain_core.runnables import RunnableLambda  # noqa: PLC0415 - as above
    except ImportError as problem:
        raise _missing(problem) from None

    call = Call(app)

    def run(state: Any) -> Any:
        future = call(state)
        read(app, future)
        return value_of(future)

    async def arun(state: Any) -> Any:
        future = call(state)
        read(app, future)
        return await outcome(future)

    return RunnableLambda(run, afunc=arun, name=name or name_of(app))


def _fields(app: Any) -> dict[str, Any]:
    """Return what pydantic makes a model of: for each parameter its type and default.

    Raises:
        InvalidTask: A name means something else to LangChain, which then would not pass it on.
    """
    from pydantic import BaseModel  # noqa: PLC0415 - as above

    check_schemas(app, _is_injected)
    for name in chosen(app).parameters:
        if name in _LANGCHAINS or (name.startswith("model_") and hasattr(BaseModel, name)):
            problem = "LangChain keeps this name to itself, and passes no such argument on"
            raise InvalidTask(name_of(app), name, problem, "Rename the parameter")
    return {
        parameter.name: (
            parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in chosen(app).parameters.values()
    }


def _is_injected(annotation: Any) -> bool:
    """Whether LangChain fills in the parameter, as with the state of a graph."""
    from langchain_core.tools import InjectedToolArg  # noqa: PLC0415 - as above

    marks = (mark if isinstance(mark, type) else type(mark) for mark in getattr(annotation, "__metadata__", ()))
    return any(issubclass(mark, InjectedToolArg) for mark in marks)


def _missing(problem: ImportError) -> MissingPackage:
    return MissingPackage(problem.name or "langchain-core", "langgraph", "here")
