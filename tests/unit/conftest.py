"""The unit tests check annotations at run time where values come from outside: batch systems and providers."""

from typeguard import install_import_hook

install_import_hook(["rhapsody_parsl.cluster", "rhapsody_parsl.providers"])
