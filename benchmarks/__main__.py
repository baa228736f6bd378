"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME [OPTION ...]` runs one."""

import ast
import runpy
import sys
from pathlib import Path

FOLDERS = ("claims", "studies")


def commands() -> dict[str, str]:
    """Return the module of each benchmark, by name: the claims first."""
    here = Path(__file__).parent
    files = [file for folder in FOLDERS for file in sorted((here / folder).glob("[!_]*.py"))]
    return {file.stem: f"{here.name}.{file.parent.name}.{file.stem}" for file in files}


def about(name: str) -> str:
    """Return the first line that a benchmark says of itself; it is read and not imported, which takes seconds."""
    file = Path(__file__).parent.joinpath(*commands()[name].split(".")[1:]).with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def main() -> None:
    """Run the benchmark that is named, with the words behind its name; list all where none is."""
    if len(sys.argv) < 2 or sys.argv[1] not in commands():  # noqa: PLR2004 - the program and a name
        print("python -m benchmarks NAME [--quick] [--help]\n")
        for name, module in commands().items():
            print(f"  {name:14} {module.split('.')[1]:8} {about(name)}")
        raise SystemExit(2 if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else 0)
    name = sys.argv.pop(1)
    runpy.run_module(commands()[name], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
