"""Spack's recipe; it goes into a repository as `packages/py_rhapsody_parsl/package.py`."""

from spack.package import *
from spack_repo.builtin.build_systems.python import PythonPackage


class PyRhapsodyParsl(PythonPackage):
    """A Parsl executor that routes apps to Dragon, MPI and vLLM inside one block."""

    pypi = "rhapsody-parsl/rhapsody_parsl-0.1.0.tar.gz"

    license("Apache-2.0")

    version("0.1.0")

    variant("mpi", default=True, description="MPI programs and functions on the site's MPI")

    depends_on("python@3.11:3.14", type=("build", "run"))
    depends_on("py-setuptools@77:", type="build")
    depends_on("py-aiohttp@3.9:", type=("build", "run"))
    depends_on("py-cryptography@42:", type=("build", "run"))
    depends_on("py-dill", type=("build", "run"))
    depends_on("py-dill@0.4.1:", type=("build", "run"), when="^python@3.14:")
    depends_on("py-msgspec@0.20:", type=("build", "run"))
    depends_on("py-parsl@2026.10.26:", type=("build", "run"))
    depends_on("py-psutil@5.9:", type=("build", "run"))
    depends_on("py-pyzmq@26:", type=("build", "run"))
    depends_on("py-rich@13:", type=("build", "run"))
    depends_on("py-tblib", type=("build", "run"))
    depends_on("py-mpi4py@4:", type=("build", "run"), when="+mpi")
