"""One small instance, or some, of every kind of Hamiltonian."""

import latticear as la


def plaquettes(spins):
    """A four-spin interaction, which is no sum over pairs."""
    return -(spins * spins.roll(1, 1) * spins.roll(1, 2) * spins.roll((1, 1), (1, 2))).sum((1, 2))


SYSTEMS = {
    "ising": la.Ising((4, 4)),
    "ising in a field": la.Ising((3, 4), coupling=-0.7, field=0.4, periodic=(False, True)),
    "j1-j2": la.Ising((4, 4), next_nearest=-0.6),
    "j1-j2 open": la.Ising((3, 4), next_nearest=-0.6, field=0.1, periodic=False),
    "triangular": la.Ising((3, 4), coupling=-1.0, geometry="triangular"),
    "honeycomb": la.Ising((4, 4), geometry="honeycomb"),
    "antiperiodic": la.Ising((3, 4), antiperiodic=(False, True)),
    "antiperiodic j1-j2": la.Ising((4, 4), next_nearest=0.3, antiperiodic=True),
    "diluted": la.Ising((4, 4), missing=[(1, 1), (2, 3)]),
    "no bond at all": la.Ising((2, 2), field=0.3, missing=[(0, 0), (0, 1), (1, 0), (1, 1)]),
    "doubled bonds": la.Ising((2, 4), next_nearest=0.5),
    "edwards-anderson": la.EdwardsAnderson((4, 4), seed=1),
    "edwards-anderson gaussian": la.EdwardsAnderson((3, 4), distribution="gaussian", periodic=False, field=0.2),
    "sherrington-kirkpatrick": la.SherringtonKirkpatrick((3, 4), seed=2),
    "potts": la.Potts((3, 3)),
    "potts antiferromagnet": la.Potts((2, 4), q=4, coupling=-1.0, periodic=(True, False)),
    "potts of two states": la.Potts((3, 3), q=2),
    "clock": la.Clock((2, 4), q=4),
    "clock of five": la.Clock((3, 2), q=5, geometry="triangular", periodic=False),
    "blume-capel": la.BlumeCapel((3, 3), crystal_field=1.9, field=0.1),
    "ashkin-teller": la.AshkinTeller((2, 4), four_spin=0.4),
    "ashkin-teller in components": la.Components(la.AshkinTeller((2, 3), four_spin=-0.3, periodic=(True, False))),
    "clock of eight in components": la.Components(la.Clock((2, 2), q=8), 3),
    "phi4": la.Phi4((2, 2), levels=9, cutoff=2.5),
    "pair": la.PairHamiltonian(
        la.Lattice((2, 4)),
        states=[0.5, 1.0, 3.0],
        pair=[[1.0, 0.2, 0.0], [0.2, -0.5, 0.3], [0.0, 0.3, -1.0]],
        field=[[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, -0.1, 0.5]],
        onsite=[0.0, 0.7, -0.2],
    ),
    "pair on any bonds": la.PairHamiltonian(
        la.Lattice((2, 3), periodic=False),
        states=[-1, 1],
        pair=[[-1, 1], [1, -1]],
        couplings=[1.0, -2.0, 0.5],
        bonds=[(0, 5), (1, 4), (4, 0)],
    ),
    "custom": la.CustomHamiltonian(plaquettes, [-1, 1], (3, 4), spin_flip=True),
}
