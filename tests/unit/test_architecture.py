"""The drawing of the layers says what the import contracts say, and what the processes import."""

import re

from tools import layers_drawing


def test_the_drawing_is_the_contracts_and_the_imports() -> None:
    drawn = layers_drawing.FILE.read_text()
    assert drawn == layers_drawing.drawing(), "Draw it again: python tools/layers_drawing.py"


def test_each_layer_of_the_contract_is_drawn_from_the_top() -> None:
    names = re.findall(r'class="layer">(\w+)<', layers_drawing.FILE.read_text())
    assert names == [layer for row in layers_drawing.layers() for layer in row]
    assert names.index("executors") < names.index("pilot") < names.index("runtimes") < names.index("wire")


def test_no_process_of_the_block_but_the_pilot_imports_the_pilot() -> None:
    processes = [" ".join(process.name) for process in layers_drawing.PROCESSES]
    known = dict(zip(processes, layers_drawing.imported(), strict=True))
    assert [name for name, layers in known.items() if "pilot" in layers] == ["pilot"]
    assert [name for name, layers in known.items() if "executors" in layers] == ["endpoint", "driver"]
    assert known["guard"] == {"hosts"}
