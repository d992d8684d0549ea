"""The papers behind the networks, methods and systems of the package: each stands once, under the key of BibTeX.

The tables below name them by what a run states: its network, its objective, the method of its estimates, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version

__all__ = [
    "LOOKAHEAD",
    "OF_CHAINS",
    "OF_ESTIMATORS",
    "OF_EXACT",
    "OF_HAMILTONIANS",
    "OF_MODELS",
    "OF_OBJECTIVES",
    "OF_QUANTITIES",
    "REFERENCES",
    "Reference",
    "itself",
]


@dataclass(frozen=True)
class Reference:
    """An entry of a bibliography.

    Attributes:
        key: key of the entry.
        authors: "First Last and First Last", in LaTeX.
        title: the title, in LaTeX.
        year: year of the publication; None if it has none.
        kind: type of the entry in BibTeX.
        more: further fields by name.
    """

    key: str
    authors: str
    title: str
    year: int | None
    kind: str = "article"
    more: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the entry by name."""
        year = {} if self.year is None else {"year": str(self.year)}
        return {"author": self.authors, "title": self.title} | year | self.more

    def bibtex(self) -> str:
        """The entry as BibTeX; the title keeps its capitals.

        Example:
            >>> print(REFERENCES["Kaufman1949"].bibtex())
            @article{Kaufman1949,
              author = {Bruria Kaufman},
              title = {{Crystal Statistics. II. Partition Function Evaluated by Spinor Analysis}},
              year = {1949},
              journal = {Phys. Rev.},
              volume = {76},
              pages = {1232},
              doi = {10.1103/PhysRev.76.1232}
            }
        """
        values = self.fields | {"title": f"{{{self.title}}}"}
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in values.items())
        return f"@{self.kind}{{{self.key},\n{lines}\n}}"


def itself() -> Reference:
    """The entry of the package, of the version that runs; CITATION.cff says the same."""
    title = "latticear: autoregressive neural samplers of lattice spin systems"
    note = {"note": f"version {version('latticear')}"}
    return Reference("latticear", "{The latticear developers}", title, None, "misc", note)


def _arxiv(number: str, **more: str) -> dict[str, str]:
    return more | {"eprint": number, "archiveprefix": "arXiv"}


def _journal(journal: str, volume: str, pages: str, doi: str = "") -> dict[str, str]:
    return {"journal": journal, "volume": volume, "pages": pages} | ({"doi": doi} if doi else {})


_APS = {
    "Phys. Rev.": "PhysRev",
    "Phys. Rev. A": "PhysRevA",
    "Phys. Rev. B": "PhysRevB",
    "Phys. Rev. D": "PhysRevD",
    "Phys. Rev. E": "PhysRevE",
    "Phys. Rev. Lett.": "PhysRevLett",
    "Phys. Rev. Research": "PhysRevResearch",
    "Rev. Mod. Phys.": "RevModPhys",
}


def _aps(journal: str, volume: str, pages: str, arxiv: str = "") -> dict[str, str]:
    """The fields of a paper in a journal of the American Physical Society, whose DOIs follow from volume and page."""
    more = _journal(journal, volume, pages, f"10.1103/{_APS[journal]}.{volume}.{pages}")
    return _arxiv(arxiv, **more) if arxiv else more


_ENTRIES = [
    # networks
    Reference(
        "Oord2016a",
        r"A{\"a}ron van den Oord and Nal Kalchbrenner and Koray Kavukcuoglu",
        "Pixel Recurrent Neural Networks",
        2016,
        "misc",
        _arxiv("1601.06759"),
    ),
    Reference(
        "Oord2016b",
        r"A{\"a}ron van den Oord and Nal Kalchbrenner and Oriol Vinyals and Lasse Espeholt and Alex Graves and "
        r"Koray Kavukcuoglu",
        "Conditional Image Generation with PixelCNN Decoders",
        2016,
        "misc",
        _arxiv("1606.05328"),
    ),
    Reference(
        "Salimans2017",
        "Tim Salimans and Andrej Karpathy and Xi Chen and Diederik P. Kingma",
        "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications",
        2017,
        "misc",
        _arxiv("1701.05517"),
    ),
    Reference(
        "Chen2017",
        "Xi Chen and Nikhil Mishra and Mostafa Rohaninejad and Pieter Abbeel",
        "PixelSNAIL: An Improved Autoregressive Generative Model",
        2017,
        "misc",
        _arxiv("1712.09763"),
    ),
    Reference(
        "Vaswani2017",
        r"Ashish Vaswani and Noam Shazeer and Niki Parmar and Jakob Uszkoreit and Llion Jones and Aidan N. Gomez and "
        r"{\L}ukasz Kaiser and Illia Polosukhin",
        "Attention Is All You Need",
        2017,
        "misc",
        _arxiv("1706.03762"),
    ),
    Reference(
        "Xiong2020",
        "Ruibin Xiong and Yunchang Yang and Di He and Kai Zheng and Shuxin Zheng and Chen Xing and Huishuai Zhang and "
        "Yanyan Lan and Liwei Wang and Tie-Yan Liu",
        "On Layer Normalization in the Transformer Architecture",
        2020,
        "misc",
        _arxiv("2002.04745"),
    ),
    Reference(
        "Zhang2022",
        "Yuan-Hang Zhang and Massimiliano {Di Ventra}",
        "Transformer Quantum State: A Multi-Purpose Model for Quantum Many-Body Problems",
        2022,
        "misc",
        _arxiv("2208.01758"),
    ),
    Reference(
        "HibatAllah2020",
        "Mohamed Hibat-Allah and Martin Ganahl and Lauren E. Hayward and Roger G. Melko and Juan Carrasquilla",
        "Recurrent Neural Network Wave Functions",
        2020,
        more=_aps("Phys. Rev. Research", "2", "023358", "2002.02973"),
    ),
    Reference(
        "HibatAllah2022",
        "Mohamed Hibat-Allah and Roger G. Melko and Juan Carrasquilla",
        "Supplementing Recurrent Neural Network Wave Functions with Symmetry and Annealing to Improve Accuracy",
        2022,
        "misc",
        _arxiv("2207.14314"),
    ),
    Reference(
        "Germain2015",
        "Mathieu Germain and Karol Gregor and Iain Murray and Hugo Larochelle",
        "MADE: Masked Autoencoder for Distribution Estimation",
        2015,
        "misc",
        _arxiv("1502.03509"),
    ),
    Reference(
        "Singha2025",
        r"Ankur Singha and Elia Cellini and Kim A. Nicoli and Karl Jansen and Stefan K{\"u}hn and Shinichi Nakajima",
        "Multilevel Generative Samplers for Investigating Critical Phenomena",
        2025,
        "misc",
        _arxiv("2503.08918"),
    ),
    Reference(
        "Bialas2022",
        r"Piotr Bia{\l}as and Piotr Korcyl and Tomasz Stebel",
        "Hierarchical Autoregressive Neural Networks for Statistical Systems",
        2022,
        "misc",
        _arxiv("2203.10989"),
    ),
    Reference(
        "Bishop2006",
        "Christopher M. Bishop",
        "Pattern Recognition and Machine Learning",
        2006,
        "book",
        {"publisher": "Springer"},
    ),
    # tensor networks
    Reference(
        "FriasPerez2023",
        r"Miguel Fr{\'\i}as-P{\'e}rez and Michael Mari{\"e}n and David {P{\'e}rez Garc{\'\i}a} and "
        r"Mari Carmen Ba{\~n}uls and Sofyan Iblisdir",
        "Collective Monte Carlo Updates through Tensor Network Renormalization",
        2023,
        more=_arxiv("2104.13264", **_journal("SciPost Phys.", "14", "123", "10.21468/SciPostPhys.14.5.123")),
    ),
    Reference(
        "Murg2007",
        "V. Murg and F. Verstraete and J. I. Cirac",
        "Variational Study of Hard-Core Bosons in a Two-Dimensional Optical Lattice Using Projected Entangled Pair "
        "States",
        2007,
        more=_aps("Phys. Rev. A", "75", "033605"),
    ),
    # training
    Reference(
        "Wu2019",
        "Dian Wu and Lei Wang and Pan Zhang",
        "Solving Statistical Mechanics Using Variational Autoregressive Networks",
        2019,
        more=_aps("Phys. Rev. Lett.", "122", "080602", "1809.10606"),
    ),
    Reference(
        "Kool2019",
        "Wouter Kool and Herke van Hoof and Max Welling",
        "Buy 4 REINFORCE Samples, Get a Baseline for Free!",
        2019,
        "misc",
        {"howpublished": "ICLR 2019 Workshop on Deep Reinforcement Learning Meets Structured Prediction"},
    ),
    Reference(
        "Richter2020",
        r"Lorenz Richter and Ayman Boustati and Nikolas N{\"u}sken and Francisco J. R. Ruiz and "
        r"{\"O}mer Deniz Akyildiz",
        "VarGrad: A Low-Variance Gradient Estimator for Variational Inference",
        2020,
        "misc",
        _arxiv("2010.10436"),
    ),
    # estimates
    Reference(
        "Nicoli2020",
        r"Kim A. Nicoli and Shinichi Nakajima and Nils Strodthoff and Wojciech Samek and Klaus-Robert M{\"u}ller and "
        r"Pan Kessel",
        "Asymptotically Unbiased Estimation of Physical Observables with Neural Samplers",
        2020,
        more=_aps("Phys. Rev. E", "101", "023304", "1910.13496"),
    ),
    Reference(
        "Nicoli2023",
        "Kim A. Nicoli and Christopher J. Anders and Tobias Hartung and Karl Jansen and Pan Kessel and "
        "Shinichi Nakajima",
        "Detecting and Mitigating Mode-Collapse for Flow-based Sampling of Lattice Field Theories",
        2023,
        "misc",
        _arxiv("2302.14082"),
    ),
    Reference(
        "Vehtari2024",
        "Aki Vehtari and Daniel Simpson and Andrew Gelman and Yuling Yao and Jonah Gabry",
        "Pareto Smoothed Importance Sampling",
        2024,
        more={"journal": "J. Mach. Learn. Res.", "volume": "25", "number": "72"},
    ),
    Reference(
        "DelMoral2006",
        "Pierre {Del Moral} and Arnaud Doucet and Ajay Jasra",
        "Sequential Monte Carlo Samplers",
        2006,
        more=_journal("J. R. Stat. Soc. B", "68", "411", "10.1111/j.1467-9868.2006.00553.x"),
    ),
    Reference(
        "Whiteley2014",
        "Nick Whiteley and Anthony Lee",
        "Twisted Particle Filters",
        2014,
        more=_journal("Ann. Stat.", "42", "115"),
    ),
    Reference(
        "Whiteley2016",
        "Nick Whiteley and Anthony Lee and Kari Heine",
        "On the Role of Interaction in Sequential Monte Carlo Algorithms",
        2016,
        more=_journal("Bernoulli", "22", "494"),
    ),
    Reference(
        "Wu2021",
        "Dian Wu and Riccardo Rossi and Giuseppe Carleo",
        "Unbiased Monte Carlo Cluster Updates with Autoregressive Neural Networks",
        2021,
        more=_aps("Phys. Rev. Research", "3", "L042024"),
    ),
    Reference(
        "Wolff2004",
        "Ulli Wolff",
        "Monte Carlo Errors with Less Errors",
        2004,
        more=_arxiv("hep-lat/0306017", **_journal("Comput. Phys. Commun.", "156", "143")),
    ),
    # Monte Carlo
    Reference(
        "Metropolis1953",
        "Nicholas Metropolis and Arianna W. Rosenbluth and Marshall N. Rosenbluth and Augusta H. Teller and "
        "Edward Teller",
        "Equation of State Calculations by Fast Computing Machines",
        1953,
        more=_journal("J. Chem. Phys.", "21", "1087", "10.1063/1.1699114"),
    ),
    Reference(
        "Kawasaki1966",
        "Kyozi Kawasaki",
        "Diffusion Constants near the Critical Point for Time-Dependent {Ising} Models. {I}",
        1966,
        more=_journal("Phys. Rev.", "145", "224", "10.1103/PhysRev.145.224"),
    ),
    Reference(
        "Creutz1980",
        "Michael Creutz",
        "Monte Carlo Study of Quantized SU(2) Gauge Theory",
        1980,
        more=_aps("Phys. Rev. D", "21", "2308"),
    ),
    Reference(
        "Glauber1963",
        "Roy J. Glauber",
        "Time-Dependent Statistics of the Ising Model",
        1963,
        more=_journal("J. Math. Phys.", "4", "294", "10.1063/1.1703954"),
    ),
    Reference(
        "Swendsen1987",
        "Robert H. Swendsen and Jian-Sheng Wang",
        "Nonuniversal Critical Dynamics in Monte Carlo Simulations",
        1987,
        more=_aps("Phys. Rev. Lett.", "58", "86"),
    ),
    Reference(
        "Wolff1989",
        "Ulli Wolff",
        "Collective Monte Carlo Updating for Spin Systems",
        1989,
        more=_aps("Phys. Rev. Lett.", "62", "361"),
    ),
    Reference(
        "Hukushima1996",
        "Koji Hukushima and Koji Nemoto",
        "Exchange Monte Carlo Method and Application to Spin Glass Simulations",
        1996,
        more=_journal("J. Phys. Soc. Jpn.", "65", "1604", "10.1143/JPSJ.65.1604"),
    ),
    # exact results
    Reference(
        "Kaufman1949",
        "Bruria Kaufman",
        "Crystal Statistics. II. Partition Function Evaluated by Spinor Analysis",
        1949,
        more=_aps("Phys. Rev.", "76", "1232"),
    ),
    Reference(
        "Kasteleyn1961",
        "P. W. Kasteleyn",
        "The Statistics of Dimers on a Lattice: I. The Number of Dimer Arrangements on a Quadratic Lattice",
        1961,
        more=_journal("Physica", "27", "1209"),
    ),
    Reference(
        "Kasteleyn1963",
        "P. W. Kasteleyn",
        "Dimer Statistics and Phase Transitions",
        1963,
        more=_journal("J. Math. Phys.", "4", "287", "10.1063/1.1703953"),
    ),
    Reference(
        "Kramers1941",
        "H. A. Kramers and G. H. Wannier",
        "Statistics of the Two-Dimensional Ferromagnet. Part I",
        1941,
        more=_aps("Phys. Rev.", "60", "252"),
    ),
    # systems
    Reference(
        "Edwards1975",
        "S. F. Edwards and P. W. Anderson",
        "Theory of Spin Glasses",
        1975,
        more=_journal("J. Phys. F", "5", "965"),
    ),
    Reference(
        "Sherrington1975",
        "David Sherrington and Scott Kirkpatrick",
        "Solvable Model of a Spin-Glass",
        1975,
        more=_aps("Phys. Rev. Lett.", "35", "1792"),
    ),
    Reference("Wu1982", "F. Y. Wu", "The Potts Model", 1982, more=_aps("Rev. Mod. Phys.", "54", "235")),
    Reference(
        "Jose1977",
        r"Jorge V. Jos{\'e} and Leo P. Kadanoff and Scott Kirkpatrick and David R. Nelson",
        "Renormalization, Vortices, and Symmetry-Breaking Perturbations in the Two-Dimensional Planar Model",
        1977,
        more=_aps("Phys. Rev. B", "16", "1217"),
    ),
    Reference(
        "Blume1966",
        "M. Blume",
        "Theory of the First-Order Magnetic Phase Change in UO$_2$",
        1966,
        more=_aps("Phys. Rev.", "141", "517"),
    ),
    Reference(
        "Capel1966",
        "H. W. Capel",
        "On the Possibility of First-Order Phase Transitions in Ising Systems of Triplet Ions with Zero-Field "
        "Splitting",
        1966,
        more=_journal("Physica", "32", "966"),
    ),
    Reference(
        "Ashkin1943",
        "J. Ashkin and E. Teller",
        "Statistics of Two-Dimensional Lattices with Four Components",
        1943,
        more=_aps("Phys. Rev.", "64", "178"),
    ),
    Reference(
        "Nicoli2021",
        "Kim A. Nicoli and Christopher J. Anders and Lena Funcke and Tobias Hartung and Karl Jansen and Pan Kessel and "
        "Shinichi Nakajima and Paolo Stornati",
        "Estimation of Thermodynamic Observables in Lattice Field Theories with Deep Generative Models",
        2021,
        more=_aps("Phys. Rev. Lett.", "126", "032001"),
    ),
]

REFERENCES = {entry.key: entry for entry in _ENTRIES}
"""All entries by key."""

OF_MODELS = {
    "pixelcnn": ("Oord2016a", "Wu2019"),
    "residual": ("Oord2016a",),
    "gated": ("Oord2016b",),
    "pixelcnnpp": ("Salimans2017",),
    "pixelsnail": ("Chen2017",),
    "transformer": ("Vaswani2017", "Xiong2020", "Zhang2022"),
    "recurrent": ("Oord2016a", "HibatAllah2020", "HibatAllah2022"),
    "multiscale": ("Singha2025", "Bialas2022"),
    "made": ("Germain2015", "Wu2019"),
    "mean_field": ("Bishop2006", "Wu2019"),
    "tensor_network": ("FriasPerez2023", "Murg2007"),
}
"""Papers by the name of a network."""

LOOKAHEAD = OF_MODELS["tensor_network"]
"""Papers of the sums over later sites that a network may begin with."""

OF_OBJECTIVES: dict[str, tuple[str, ...]] = {
    "reverse-kl": ("Wu2019", "Kool2019"),
    "forward-kl": (),
    "forward-reverse-kl": ("Wu2019", "Kool2019", "Richter2020"),
}
"""Papers by the objective of a training; maximum likelihood has none."""

OF_ESTIMATORS = {
    "is": ("Nicoli2020",),
    "smc": ("DelMoral2006", "Whiteley2014", "Whiteley2016"),
    "mcmc": ("Nicoli2020",),
    "blocks": ("Wu2021",),
}
"""Papers by the method of estimates; "blocks" is "mcmc" by a multiscale model."""

OF_QUANTITIES = {"pareto_k": ("Vehtari2024",), "forward_ess": ("Nicoli2021", "Nicoli2023")}
"""Papers by the name of a diagnostic among the estimates."""

OF_CHAINS = {
    "metropolis": ("Metropolis1953",),
    "kawasaki": ("Kawasaki1966",),
    "heat-bath": ("Creutz1980", "Glauber1963"),
    "swendsen-wang": ("Swendsen1987",),
    "wolff": ("Wolff1989",),
    "parallel-tempering": ("Hukushima1996",),
}
"""Papers by the method of Monte Carlo."""

OF_EXACT: dict[str, tuple[str, ...]] = {
    "enumerate_states": (),
    "magnetization_resolved": ("Kramers1941",),
    "transfer_matrix": ("Kramers1941",),
    "kaufman": ("Kaufman1949",),
    "kasteleyn": ("Kasteleyn1961", "Kasteleyn1963"),
    "tensor_network": ("Murg2007",),
}
"""Papers by the method of exact values; a sum over all configurations has none."""

OF_HAMILTONIANS = {
    "edwards_anderson": ("Edwards1975",),
    "edwards_anderson_disorder": ("Edwards1975",),
    "sherrington_kirkpatrick": ("Sherrington1975",),
    "potts": ("Wu1982",),
    "clock": ("Jose1977",),
    "blume_capel": ("Blume1966", "Capel1966"),
    "ashkin_teller": ("Ashkin1943",),
    "phi4": ("Nicoli2021",),
}
"""Papers by the name of a system; the Ising model needs none."""
