"""What stands in several places for one reason is the same in all of them."""

import ast
from dataclasses import fields
from pathlib import Path

import msgspec

import rhapsody_parsl
from rhapsody_parsl import Policy
from rhapsody_parsl.annotations import annotation
from rhapsody_parsl.annotations.policy import PolicyValue


def for_type_checkers() -> set[str]:
    """Return the names that the package's module imports below `TYPE_CHECKING`."""
    tree = ast.parse(Path(str(rhapsody_parsl.__file__)).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {name.name for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}


def test_a_public_name_is_exported_found_and_known_to_type_checkers() -> None:
    assert set(rhapsody_parsl.__all__) == set(rhapsody_parsl._HOMES) == for_type_checkers()


def test_a_field_of_the_policy_is_written_checked_and_kept_by_one_name() -> None:
    written = {field.name for field in fields(Policy)}
    assert written == set(annotation._POLICY) == {field.name for field in msgspec.structs.fields(PolicyValue)}
