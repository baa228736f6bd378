"""The LAMMPS input of one run: half crystal, half liquid, at one temperature and pressure."""

from dataclasses import dataclass
from pathlib import Path
from string import Template

from melting import potential

INPUT, TABLE, TRAJECTORY = "in.melting", "pair.table", "trajectory.dump"
TIMESTEP = 0.005
PRESSURE = -0.02  # that of the published value; no pressure at all would add 0.002 to it

NARROWEST, SHORTEST, FEWEST_FRAMES = 4, 8, 4


@dataclass(frozen=True, slots=True)
class Box:
    """How big a run is, and how long.

    Attributes:
        across: Crystal cells along x and along y; 4 atoms a cell.
        along: Crystal cells along z, across both phases; even.
        steps: Time steps that are analysed.
        every: Time steps between two frames of the trajectory.
    """

    across: int = 6
    along: int = 16
    steps: int = 6000
    every: int = 300

    def __post_init__(self) -> None:
        if self.across < NARROWEST or self.along < SHORTEST or self.along % 2:
            raise ValueError(
                f"a box of {self.across} x {self.across} x {self.along} cells cannot hold both "
                f"phases: ask for {NARROWEST} or more across, and for an even "
                f"{SHORTEST} or more along"
            )
        if self.steps < FEWEST_FRAMES * self.every:
            raise ValueError(f"{self.steps} steps hold too few frames: lower every={self.every}")

    @property
    def atoms(self) -> int:
        """Return how many atoms the box holds."""
        return 4 * self.across * self.across * self.along


_INPUT = Template("""\
# Crystal and liquid in contact at T = $temperature and P = $pressure: which one grows?
units lj
atom_style atomic
atom_modify map array
lattice fcc 0.945
region box block 0 $across 0 $across 0 $along
create_box 1 box
create_atoms 1 box
mass 1 1.0
pair_style table linear $rows
pair_coeff 1 1 $table BG $cutoff
compute energy all pe/atom
neighbor 0.3 bin
neigh_modify every 2 delay 4 check yes
timestep $timestep
thermo_style custom step temp pe press lx lz pzz
thermo 200

# 1. The crystal alone finds its lattice constant at this temperature.
velocity all create $temperature $seed dist gaussian
fix move all nph iso $pressure $pressure 1.0
fix heat all langevin $temperature $temperature 0.5 $seed
run 500
reset_timestep 0
variable lx equal lx
variable lz equal lz
fix mean all ave/time 5 160 800 v_lx v_lz
run 800
variable width equal f_mean[1]
variable length equal f_mean[2]
change_box all x final 0 $${width} y final 0 $${width} z final 0 $${length} remap units box
unfix mean
unfix move
unfix heat

# 2. The upper half is pulled to the liquid's density, melted hot and cooled; the lower half waits.
variable half equal lz/2
region upper block INF INF INF INF $${half} INF units box
group liquid region upper
variable top equal lz
variable grow equal 0.14*v_half
variable newtop equal v_top+v_grow
change_box all z final 0 $${newtop} units box
displace_atoms liquid ramp z 0 $${grow} z $${half} $${top} units box
velocity liquid create 3.0 $seed dist gaussian
fix move liquid nve
fix heat liquid langevin 2.5 $temperature 0.5 $seed
run 1200
unfix move
unfix heat

# 3. Both halves are let go. Only the length may change, so the crystal is never under stress.
velocity all create $temperature $seed dist gaussian
fix move all nph z $pressure $pressure 1.0
fix heat all langevin $temperature $temperature 1.0 $seed zero yes
run 800

# 4. What is analysed.
reset_timestep 0
dump frames all custom $every $trajectory id xu yu zu c_energy
dump_modify frames sort id
run $steps
""")


def write_input(folder: Path, temperature: float, seed: int, box: Box) -> Path:
    """Write all that LAMMPS needs for one run.

    Args:
        folder: Where; made if it is not there.
        temperature: The temperature that the run is held at.
        seed: Number that makes this replica differ from the others; positive.
        box: Size and length of the run.

    Returns:
        The input file. LAMMPS is to be started inside its folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    potential.write_table(folder / TABLE)
    path = folder / INPUT
    path.write_text(
        _INPUT.substitute(
            temperature=f"{temperature:.5f}", seed=seed, timestep=TIMESTEP, pressure=PRESSURE,
            across=box.across, along=box.along, steps=box.steps, every=box.every,
            table=TABLE, rows=potential.TABLE_ROWS, cutoff=potential.CUTOFF,
            trajectory=TRAJECTORY,
        )
    )  # fmt: skip
    return path


def shell_command(folder: Path, prefix: Path) -> str:
    """Return the shell line that runs LAMMPS in a folder, behind Parsl's MPI prefix.

    Args:
        folder: A folder that `write_input` filled.
        prefix: The Python environment that holds `lmp`, and the MPI library in its `lib`.
    """
    return (
        f"cd {folder} && LD_LIBRARY_PATH={prefix}/lib:$LD_LIBRARY_PATH "
        f"$PARSL_MPI_PREFIX {prefix}/bin/lmp -in {INPUT} -log log.lammps -screen none"
    )
