"""The public names, each written once; `latticear/__init__.py` loads them from here."""

from .contracts import check_hamiltonian as check_hamiltonian, check_model as check_model
from .data import (
    SampleWriter as SampleWriter,
    glyphs as glyphs,
    read_batches as read_batches,
    read_condition as read_condition,
    read_configurations as read_configurations,
    read_couplings as read_couplings,
    read_given as read_given,
    read_metadata as read_metadata,
)
from .estimation import (
    Estimate as Estimate,
    Estimates as Estimates,
    TauInt as TauInt,
    UnreliableEstimateWarning as UnreliableEstimateWarning,
    block_mcmc as block_mcmc,
    estimate as estimate,
    estimate_chains as estimate_chains,
    forward_ess as forward_ess,
    integrated_autocorrelation_time as integrated_autocorrelation_time,
    mean_error as mean_error,
    negative_log_likelihood as negative_log_likelihood,
    neural_mcmc as neural_mcmc,
    parallel_tempering as parallel_tempering,
    population_annealing as population_annealing,
    reweight as reweight,
    sequential_monte_carlo as sequential_monte_carlo,
)
from .exact import (
    T_C as T_C,
    ExactResult as ExactResult,
    critical_temperature as critical_temperature,
    enumerate_states as enumerate_states,
    exact_result as exact_result,
    kasteleyn as kasteleyn,
    kaufman as kaufman,
    magnetization_resolved as magnetization_resolved,
    onsager as onsager,
    potts_transition as potts_transition,
    transfer_matrix as transfer_matrix,
)
from .hamiltonians import (
    HAMILTONIANS as HAMILTONIANS,
    AbstractHamiltonian as AbstractHamiltonian,
    AshkinTeller as AshkinTeller,
    BlumeCapel as BlumeCapel,
    Clock as Clock,
    Components as Components,
    CustomHamiltonian as CustomHamiltonian,
    EdwardsAnderson as EdwardsAnderson,
    EdwardsAndersonDisorder as EdwardsAndersonDisorder,
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
    AbstractModel as AbstractModel,
    CausalTransformer as CausalTransformer,
    ConditionEmbedding as ConditionEmbedding,
    GatedPixelCNN as GatedPixelCNN,
    LogisticMixture as LogisticMixture,
    MaskedConv2d as MaskedConv2d,
    MeanField as MeanField,
    MultiscalePixelCNN as MultiscalePixelCNN,
    PixelCNN as PixelCNN,
    PixelCNNPlusPlus as PixelCNNPlusPlus,
    PixelSNAIL as PixelSNAIL,
    RecurrentPixelRNN as RecurrentPixelRNN,
    ResidualPixelCNN as ResidualPixelCNN,
    check_autoregressive as check_autoregressive,
    transfer_weights as transfer_weights,
)
from .montecarlo import monte_carlo as monte_carlo
from .observables import correlation as correlation
from .runs.directory import load_model as load_model
from .samples import Samples as Samples
from .spaces import Grid as Grid
from .training import Step as Step, TrainingError as TrainingError, fit as fit
from .training.objectives import forward_kl as forward_kl, reverse_kl as reverse_kl

__version__: str
