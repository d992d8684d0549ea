"""The public names, each written once; `latticear/__init__.py` loads them from here."""

from . import (
    contracts as contracts,
    data as data,
    estimation as estimation,
    exact as exact,
    hamiltonians as hamiltonians,
    models as models,
    montecarlo as montecarlo,
    observables as observables,
    plotting as plotting,
    processes as processes,
    sampling as sampling,
    scaling as scaling,
    targets as targets,
    training as training,
)
from .contracts import check_hamiltonian as check_hamiltonian, check_model as check_model
from .data import (
    SampleWriter as SampleWriter,
    load_configurations as load_configurations,
)
from .estimation import (
    OBSERVABLES as OBSERVABLES,
    Check as Check,
    Estimate as Estimate,
    Estimates as Estimates,
    UnreliableEstimateWarning as UnreliableEstimateWarning,
    block_mcmc as block_mcmc,
    derived as derived,
    disorder_average as disorder_average,
    estimate as estimate,
    estimate_chain as estimate_chain,
    estimate_chains as estimate_chains,
    forward_ess as forward_ess,
    ground_state as ground_state,
    independent_check as independent_check,
    judge as judge,
    negative_log_likelihood as negative_log_likelihood,
    neural_mcmc as neural_mcmc,
    overlaps as overlaps,
    parallel_tempering as parallel_tempering,
    population_annealing as population_annealing,
    reweight as reweight,
    sequential_monte_carlo as sequential_monte_carlo,
    to_arviz as to_arviz,
)
from .exact import (
    T_C as T_C,
    ExactResult as ExactResult,
    exact_result as exact_result,
    kaufman as kaufman,
)
from .hamiltonians import (
    HAMILTONIANS as HAMILTONIANS,
    AshkinTeller as AshkinTeller,
    BlumeCapel as BlumeCapel,
    Clock as Clock,
    Components as Components,
    CustomHamiltonian as CustomHamiltonian,
    EdwardsAnderson as EdwardsAnderson,
    EdwardsAndersonDisorder as EdwardsAndersonDisorder,
    FixedComposition as FixedComposition,
    Ising as Ising,
    PairHamiltonian as PairHamiltonian,
    Phi4 as Phi4,
    Potts as Potts,
    SherringtonKirkpatrick as SherringtonKirkpatrick,
)
from .lattice import Lattice as Lattice
from .models import (
    MADE as MADE,
    MODELS as MODELS,
    CausalTransformer as CausalTransformer,
    GatedPixelCNN as GatedPixelCNN,
    MeanField as MeanField,
    MultiscalePixelCNN as MultiscalePixelCNN,
    PixelCNN as PixelCNN,
    PixelCNNPlusPlus as PixelCNNPlusPlus,
    PixelSNAIL as PixelSNAIL,
    RecurrentPixelRNN as RecurrentPixelRNN,
    ResidualPixelCNN as ResidualPixelCNN,
    TensorNetwork as TensorNetwork,
    check_autoregressive as check_autoregressive,
    transfer_weights as transfer_weights,
)
from .montecarlo import monte_carlo as monte_carlo, multicanonical as multicanonical
from .observables import correlation as correlation
from .runs.directory import load_model as load_model
from .runs.pretrained import PRETRAINED as PRETRAINED
from .samples import Samples as Samples
from .scaling import coexistence as coexistence
from .spaces import Grid as Grid
from .targets import default_model as default_model
from .training import Step as Step, TrainingError as TrainingError, fit as fit
from .workflows.call import train as train
from .workflows.checked import check_run as check_run
from .workflows.cite import cite as cite
from .workflows.pretrained import pretrained as pretrained
from .workflows.run import Run as Run, load_run as load_run, save_run as save_run

__version__: str
