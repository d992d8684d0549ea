"""Every text by which the package says that a number may be wrong is explained on a page."""

from support.examples import DOCS
from support.texts import is_shown, printed_texts

PACKAGE = DOCS.parent / "latticear"
SOURCES = [
    "estimation",
    "scaling",
    "models/bond_dimension.py",
    "models/multiscale/trusted.py",
    "sampling/choice.py",
    "sampling/receptive.py",
    "workflows/checked.py",
    "workflows/resumed.py",
    "workflows/training_steps.py",
]

OTHER = (
    " (one batch: an upper bound",
    ", or judge a Markov chain by",
    ": draw them first",
    ": tokens alone have no log_q",
    "E/N of the",
    "a periodic boundary, along which",
    "a square lattice, got",
    "bond dimension {}: {} (ESS of",
    "check by independent configurations",
    "coexistence of two phases",
    "crossing of {} of L",
    "disorder_average takes",
    "equal weight: the ordered phase",
    "importance sampling (la.estimate)",
    "la.monte_carlo(",
    "la.montecarlo.annealed_population",
    "make the check with the Hamiltonian",
    "neural Metropolis (",
    "nothing is cut any more",
    "of it by corrections",
    "particles that are resampled",
    "pilot must be an integer tensor",
    "rows summed at bond dimension",
    "samples must be la.Samples",
    "the argument `each`",
    "the draws are independent samples",
    "the exact value of ln Z",
    "the powers of L have",
    "the sum over all configurations",
    "there is no estimate",
    "{} of the best of {} fits",
    "{} would take about",
)
"""Beginnings of texts that say nothing against a number: evidence for it, labels, progress, and refused arguments."""


TEXTS = list(printed_texts(*(PACKAGE / source for source in SOURCES)))
WARNINGS = [text for text in TEXTS if not text.startswith(OTHER)]


def test_every_reason_and_warning_is_explained():
    page = (DOCS / "how-to" / "unreliable.md").read_text()
    assert [text for text in WARNINGS if not is_shown(text, page)] == []


def test_the_texts_are_those_of_the_package():
    assert len(WARNINGS) > 90
    assert "only {} effective samples (ESS {} of n = {})" in WARNINGS
    assert not is_shown("only {} effective samples (ESS {} of n = {})", "few effective samples")
    assert [start for start in OTHER if not any(text.startswith(start) for text in TEXTS)] == []
