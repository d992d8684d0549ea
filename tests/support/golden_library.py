"""What the library makes from fixed seeds: Hamiltonians, networks, training, estimates, Monte Carlo, exact results."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from golden_record import Record

import latticear as la

T = 2.269
CHAINS = ("metropolis", "heat-bath", "swendsen-wang", "wolff", "parallel-tempering")
OBJECTIVES = ("reverse-kl", "forward-kl", "forward-reverse-kl")


def _plaquettes(spins: torch.Tensor) -> torch.Tensor:
    return -(spins * spins.roll(1, 1) * spins.roll(1, 2) * spins.roll((1, 1), (1, 2))).sum((1, 2))


SYSTEMS: dict[str, Callable[[], Any]] = {
    **{f"default {name}": (lambda cls=cls: cls((4, 4))) for name, cls in la.HAMILTONIANS.items()},
    "field": lambda: la.Ising((3, 4), coupling=-0.7, field=0.4, periodic=(False, True)),
    "j1-j2": lambda: la.Ising((4, 4), next_nearest=-0.6),
    "triangular": lambda: la.Ising((3, 4), coupling=-1.0, geometry="triangular"),
    "honeycomb": lambda: la.Ising((4, 4), geometry="honeycomb"),
    "antiperiodic": lambda: la.Ising((3, 4), antiperiodic=(False, True)),
    "diluted": lambda: la.Ising((4, 4), missing=[(1, 1), (2, 3)]),
    "glass": lambda: la.EdwardsAnderson((3, 4), distribution="gaussian", periodic=False, field=0.2),
    "potts antiferromagnet": lambda: la.Potts((2, 4), q=4, coupling=-1.0, periodic=(True, False)),
    "clock of four": lambda: la.Clock((2, 4), q=4),
    "blume-capel": lambda: la.BlumeCapel((3, 3), crystal_field=1.9, field=0.1),
    "phi4": lambda: la.Phi4((2, 2), levels=9, cutoff=2.5),
    "components": lambda: la.Components(la.AshkinTeller((2, 4), four_spin=0.4)),
    "three components": lambda: la.Components(la.Clock((2, 2), q=8), 3),
    "pair": lambda: la.PairHamiltonian(
        la.Lattice((2, 4)),
        states=[0.5, 1.0, 3.0],
        pair=[[1.0, 0.2, 0.0], [0.2, -0.5, 0.3], [0.0, 0.3, -1.0]],
        field=[[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, -0.1, 0.5]],
        onsite=[0.0, 0.7, -0.2],
    ),
    "pair on any bonds": lambda: la.PairHamiltonian(
        la.Lattice((2, 3), periodic=False),
        states=[-1, 1],
        pair=[[-1, 1], [1, -1]],
        couplings=[1.0, -2.0, 0.5],
        bonds=[(0, 5), (1, 4), (4, 0)],
    ),
    "custom": lambda: la.CustomHamiltonian(_plaquettes, [-1, 1], (3, 4), spin_flip=True),
}

SMALL: dict[str, dict[str, Any]] = {
    "pixelcnn": {"width": 6, "depth": 2},
    "residual": {"width": 4, "depth": 2, "kernel_size": 5},
    "gated": {"width": 4, "depth": 2, "first_kernel_size": 5},
    "pixelcnnpp": {"width": 4},
    "pixelsnail": {"width": 4, "depth": 1},
    "transformer": {"width": 8, "depth": 1, "heads": 2},
    "multiscale": {"width": 6, "n_taps": 8},
    "mean_field": {},
    "made": {"width": 3},
    "recurrent": {"width": 6},
}

FURTHER: dict[str, tuple[str, dict[str, Any]]] = {
    "kernels": ("pixelcnn", {"kernel_size": [5, 3], "dilation": [1, 2]}),
    "whole kernel": ("gated", {"first_kernel_size": None, "head_width": 6}),
    "whole kernel of blocks": ("residual", {"kernel_size": None, "head_width": 6}),
    "two levels": ("pixelcnnpp", {"levels": 2, "depth": 1}),
    "logistic": ("pixelcnnpp", {"output": "logistic", "n_mixtures": 2, "dropout": 0.2}),
    "two blocks": ("pixelsnail", {"depth": 2, "n_residual": 2}),
    "slope of one": ("recurrent", {"look_ahead": False, "depth": 2}),
    "cell": ("multiscale", {"cell": (2, 2), "periodic": False}),
    "every site": ("multiscale", {"translation_invariant": False}),
}


def tokens_of(shape: tuple[int, ...], q: int, n: int = 12, seed: int = 5) -> torch.Tensor:
    return torch.randint(q, (n, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def network(name: str, shape: tuple[int, int], q: int = 2, *, peaked: bool = True, **options: Any) -> Any:
    """A small network of fixed weights, peaked unless it is to be as it begins."""
    model = la.MODELS[name](shape, q, **{**SMALL[name], **options}, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters() if peaked else ():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    return model.eval()


def drawn(samples: la.Samples) -> dict[str, Any]:
    fields = ("tokens", "log_q", "condition", "log_q_given", "where")
    return {name: getattr(samples, name) for name in fields} | {"seed": samples.seed}


# Hamiltonians


def _system(make: Callable[[], Any]) -> dict[str, Any]:
    system = make()
    size = (system.n_components, *system.shape) if system.n_components > 1 else system.shape
    tokens = tokens_of(size, system.n_tokens)
    found: dict[str, Any] = {"repr": repr(system), "dict": system.to_dict(), "spin_flip": system.spin_flip}
    found |= {"spins": system.spins(tokens), "states": system.states, "magnetization": system.magnetization(tokens)}
    if isinstance(system, la.EdwardsAndersonDisorder):
        couplings = system.draw(12)
        return found | {"couplings": couplings, "energy": system.energy_given(tokens, couplings.flatten(1))}
    sites = torch.arange(0, math.prod(system.shape), 3)
    return found | {
        "energy": system.token_energy(tokens),
        "conditional_energies": system.conditional_energies(tokens, sites),
        "region_energy": system.region_energy(tokens, sites),
        "homogeneous": system.is_homogeneous,
        "correlation": la.correlation(system.vectors_of(tokens), system.lattice),
    }


def _bias(make: Callable[[], Any]) -> dict[str, Any]:
    system = make()
    maps = 2 if isinstance(system, la.EdwardsAndersonDisorder) else 0
    components = {"n_components": system.n_components} if system.n_components > 1 else {}
    size = (system.n_components, *system.shape) if components else system.shape
    tokens, found = tokens_of(size, system.n_tokens), {}
    for name in ("pixelcnn",) if components else ("pixelcnn", "multiscale"):
        model = network(name, system.shape, system.n_tokens, bias=system.bias(1.7), n_condition_maps=maps, **components)
        condition = model.condition_of(maps=system.draw(12)) if maps else None
        found[name] = {
            "bias": model.bias(tokens, condition),
            "dict": model.bias.to_dict(),
            "log_prob": model.log_prob(tokens, condition),
            "drawn": drawn(model.sample(6, seed=3, condition=None if condition is None else condition[:6])),
        }
    return found


def hamiltonians(record: Record) -> None:
    for name, make in SYSTEMS.items():
        record(f"hamiltonian {name}", lambda make=make: _system(make))
        record(f"bias {name}", lambda make=make: _bias(make))
        record(f"check {name}", lambda make=make: la.check_hamiltonian(make(), temperature=T))
    lattices = {"square": {}, "triangular": {"geometry": "triangular"}, "honeycomb": {"geometry": "honeycomb"}}
    for name, options in lattices.items():
        record(f"lattice {name}", lambda options=options: la.Lattice((4, 6), **options).bonds)
    record("glyphs", lambda: la.data.glyphs(20, (8, 9), 3, characters="017"))


# networks


def _model(name: str, shape: tuple[int, int], q: int, make: Callable[[], dict[str, Any]], double: bool = False) -> Any:
    options = make()
    condition = options.pop("condition", None)
    model = network(name, shape, q, **options)
    model = model.double() if double else model
    components = options.get("n_components", 1)
    size = (components, *shape) if components > 1 else shape
    tokens = tokens_of(size, q, 9)
    where = tokens_of(size, 2, 9, seed=6).bool()
    given = {"given": tokens, "where": where, "condition": condition}
    shared = {"given": tokens[0], "where": where[0], "condition": None if condition is None else condition[0]}
    found: dict[str, Any] = {"weights": model.state_dict(), "dict": model.to_dict(), "rank": model.rank}
    found["log_prob"] = model.log_prob(tokens, condition)
    found["logits"] = model.logits(tokens, condition)
    for method in ("wavefront", "reference"):
        found[method] = drawn(model.sample(9, seed=4, method=method, condition=condition))
        found[f"{method} given"] = drawn(model.sample(9, seed=4, method=method, **given))
    found["wavefront shared"] = drawn(model.sample(9, seed=8, **shared))
    found["batches"] = [drawn(batch) for batch in model.sample_batches(7, seed=4, condition=shared["condition"])]
    return found


def _variants(q: int, shape: tuple[int, int]) -> dict[str, Callable[[], dict[str, Any]]]:
    def system() -> Any:
        return la.Ising(shape, field=0.2) if q == 2 else la.Potts(shape, q=q)

    symmetric = la.Ising(shape) if q == 2 else la.BlumeCapel(shape, crystal_field=1.5)
    temperatures = torch.linspace(1.5, 3, 9, dtype=torch.float64)[:, None]
    variants: dict[str, Callable[[], dict[str, Any]]] = {
        "plain": dict,
        "bias": lambda: {"bias": system().bias(T)},
        "symmetric": lambda: {"bias": symmetric.bias(T), "spin_flip_symmetric": True},
        "temperature": lambda: {"bias": system().bias(), "n_condition": 1, "condition": temperatures},
        "components": lambda: {"n_components": 2},
    }
    if q == 2:
        disorder = la.EdwardsAndersonDisorder(shape)
        variants["couplings"] = lambda: {
            "bias": disorder.bias(T),
            "n_condition_maps": 2,
            "spin_flip_symmetric": True,
            "condition": disorder.draw(9).flatten(1),
        }
        parts = la.AshkinTeller(shape, four_spin=0.4)
        variants["bias of components"] = lambda: {"n_components": 2, "bias": la.Components(parts).bias(T)}
    return variants


def models(record: Record) -> None:
    shapes = ((4, 4), (5, 6))
    for name in la.MODELS:
        for q, shape in ((2, shapes[0]), (2, shapes[1]), (3, shapes[0])):
            for variant, make in _variants(q, shape).items():
                if shape == (5, 6) and variant not in ("bias", "symmetric"):
                    continue
                if "components" in variant and "n_components" not in inspect.signature(la.MODELS[name]).parameters:
                    continue
                key = f"model {name} {shape[0]}x{shape[1]} q={q} {variant}"
                record(key, lambda name=name, shape=shape, q=q, make=make: _model(name, shape, q, make))
        doubled = _variants(2, shapes[0])["bias"]
        record(f"model {name} double", lambda name=name, make=doubled: _model(name, shapes[0], 2, make, True))
        fresh = {"weights at first": lambda name=name: network(name, (4, 4), peaked=False).state_dict()}
        record(f"model {name} fresh", lambda fresh=fresh: {key: make() for key, make in fresh.items()})
        record(f"model {name} causal", lambda name=name: la.check_autoregressive(network(name, (3, 3))))
    for variant, (name, options) in FURTHER.items():
        bias = la.Ising((6, 6), next_nearest=-0.6).bias(T)

        def make(options: dict[str, Any] = options, bias: Any = bias) -> dict[str, Any]:
            return {"bias": bias, **options}

        record(f"model {name} {variant}", lambda name=name, make=make: _model(name, (6, 6), 2, make))
    record("transfer weights", _transferred)


def _transferred() -> dict[str, Any]:
    small, large = network("multiscale", (8, 8)), network("multiscale", (16, 16), peaked=False)
    return {"n": la.transfer_weights(large, small), "weights": large.state_dict(), "drawn": drawn(large.sample(5))}


# training


def _fitted(model: Any, system: Any, **options: Any) -> dict[str, Any]:
    options = {"steps": 6, "batch_size": 24, "evaluate_every": 3, "n_monte_carlo": 60, "warmup": 2, **options}
    if isinstance(system, la.Grid):
        del options["n_monte_carlo"]
    steps = [{"loss": step.loss, **step.metrics} for step in la.fit(model, system, **options)]
    return {"steps": steps, "weights": model.state_dict()}


def training(record: Record) -> None:
    ising, shape = la.Ising((4, 4)), (4, 4)
    for name in la.MODELS:
        for objective in OBJECTIVES if name in ("pixelcnn", "multiscale", "pixelcnnpp") else OBJECTIVES[:1]:
            options = {"temperature": T, "objective": objective, "seed": 3}
            record(
                f"fit {name} {objective}",
                lambda name=name, options=options: _fitted(
                    network(name, shape, bias=ising.bias(T), spin_flip_symmetric=True), ising, **options
                ),
            )
    for name in ("pixelcnn", "multiscale"):
        record(
            f"fit {name} range",
            lambda name=name: _fitted(
                network(name, shape, bias=ising.bias(), n_condition=1), ising, temperature=(1.5, 3.0), batch_size=64
            ),
        )
        disorder = la.EdwardsAndersonDisorder(shape)
        record(
            f"fit {name} disorder",
            lambda name=name, disorder=disorder: _fitted(
                network(name, shape, bias=disorder.bias(1.0), n_condition_maps=2, spin_flip_symmetric=True),
                disorder,
                temperature=1.0,
                batch_size=64,
            ),
        )
    options = {"schedule": "constant", "clip_norm": 0.0, "ema_decay": 0.0, "anneal": 0.0, "learning_rate": 1e-2}
    record("fit options", lambda: _fitted(network("gated", shape), ising, temperature=T, **options))
    glass = la.EdwardsAnderson((8, 8))
    record(
        "fit glass",
        lambda: _fitted(
            network("multiscale", (8, 8), bias=glass.bias(1.0), translation_invariant=False), glass, temperature=1.0
        ),
    )
    parts = la.Components(la.AshkinTeller(shape, four_spin=0.4))
    for objective in OBJECTIVES:
        record(
            f"fit components {objective}",
            lambda objective=objective: _fitted(
                network("pixelcnn", shape, n_components=2, bias=parts.bias(T)),
                parts,
                temperature=T,
                objective=objective,
            ),
        )
    record("fit grid", _fitted_grid)
    record("fit data", lambda: _fitted(network("residual", shape), ising, temperature=T, **_data(shape)))


def _data(shape: tuple[int, int]) -> dict[str, Any]:
    return {"objective": "forward-kl", "data": tokens_of(shape, 2, 50), "held_out": 0.2}


def _fitted_grid() -> dict[str, Any]:
    tokens, labels = la.data.glyphs(40, (8, 9), 3, characters="017")
    condition = torch.eye(3)[labels]
    model = network("pixelcnnpp", (8, 9), 3, n_condition=3, output="logistic", dropout=0.1)
    options = {"objective": "forward-kl", "data": tokens, "condition": condition}
    return _fitted(model, la.Grid((8, 9), 3), **options) | {
        "likelihood": {
            name: each.to_dict() for name, each in la.negative_log_likelihood(model, tokens, condition).items()
        }
    }


# estimates


def estimation(record: Record) -> None:
    ising = la.Ising((4, 4))
    exact = la.kaufman((4, 4), T)
    model = network("pixelcnn", (4, 4), bias=ising.bias(T), spin_flip_symmetric=True)
    steps = network("multiscale", (8, 8), bias=la.Ising((8, 8)).bias(T), spin_flip_symmetric=True)
    large = la.Ising((8, 8))
    samples = model.sample(600, seed=1)
    data = torch.cat([batch.tokens for batch in la.monte_carlo(ising, T, n=200, method="wolff", n_chains=20)])
    row = {"row": lambda spins: spins[:, 0].mean(1).abs(), "m": lambda spins: spins.mean((1, 2))}
    record("estimate", lambda: la.estimate(samples, ising, T, observables=row, exact=exact).to_dict())
    record("estimate text", lambda: str(la.estimate(samples, ising, T, exact=exact)))
    record("reweight", lambda: [e.to_dict() for e in la.reweight(samples, ising, [2.0, 2.3, 4.0])])
    record("neural_mcmc", lambda: la.neural_mcmc(samples, ising, T, observables=row, n_chains=5, seed=2).to_dict())
    record("forward_ess", lambda: la.forward_ess(model, data, ising, T).to_dict())
    record("likelihood", lambda: {k: e.to_dict() for k, e in la.negative_log_likelihood(model, data).items()})
    given = {"given": data[0], "where": tokens_of((4, 4), 2, 1)[0].bool()}
    record("estimate given", lambda: la.estimate(model.sample(300, seed=1, **given), ising, T).to_dict())
    options = {"n": 300, "seed": 2}
    record("block_mcmc", lambda: la.block_mcmc(steps, large, T, n_chains=10, thermalization=5, **options).to_dict())
    record("smc", lambda: la.sequential_monte_carlo(steps, large, T, n_pilot=200, n_islands=10, **options).to_dict())
    glass = la.EdwardsAnderson((4, 4))
    record("tempering", lambda: la.parallel_tempering(glass, 0.7, n_chains=5, thermalization=20, **options).to_dict())
    record("annealing", lambda: la.population_annealing(glass, 0.7, n_replicas=200, n_sweeps=2, seed=1).to_dict())
    for method in ("wolff", "heat-bath"):
        chains = {"n": 200, "method": method, "n_chains": 10, "seed": 4}
        record(
            f"estimate_chains {method}",
            lambda chains=chains: la.estimation.estimate_chains(la.monte_carlo(ising, T, **chains), ising, T).to_dict(),
        )
    series = torch.randn(4, 200, generator=torch.Generator().manual_seed(0)).cumsum(1).numpy()
    record(
        "autocorrelation", lambda: [la.estimation.mean_error(series.T), la.integrated_autocorrelation_time(series.T)]
    )
    potts = la.Potts((4, 4))
    three = network("multiscale", (4, 4), 3, bias=potts.bias(1.1))
    record("estimate potts", lambda: la.estimate(three.sample(300), potts, 1.1).to_dict())


# Monte Carlo


def _chains(system: Any, method: str) -> list[Any]:
    options = {"n": 18, "method": method, "n_chains": 6, "thermalization": 4, "thinning": 2, "seed": 9}
    return [drawn(batch) | {"provenance": batch.provenance} for batch in la.monte_carlo(system, 1.3, **options)]


def monte_carlo(record: Record) -> None:
    for name, make in SYSTEMS.items():
        for method in CHAINS:
            record(f"monte carlo {name} {method}", lambda make=make, method=method: _chains(make(), method))
    default = {"n": 20, "seed": 3}
    for method in CHAINS:
        record(
            f"monte carlo default {method}",
            lambda method=method: [drawn(b) for b in la.monte_carlo(la.Ising((8, 8)), T, method=method, **default)],
        )
    batches: list[la.Samples] = []
    record(
        "annealed configurations",
        lambda: la.population_annealing(la.EdwardsAnderson((4, 4)), 0.7, n_replicas=100, each=batches.append).to_dict(),
    )
    record("annealed tokens", lambda: [drawn(batch) for batch in batches])


# exact results


def _every_digit(result: Any) -> dict[str, Any] | None:
    return None if result is None else vars(result) | {"dict": result.to_dict()}


def exact(record: Record) -> None:
    for name, make in SYSTEMS.items():
        for method in ("enumerate_states", "transfer_matrix", "magnetization_resolved", "kasteleyn", "exact_result"):
            if method == "enumerate_states" and name.startswith("default") and make().n_tokens > 2:
                continue  # 3^16 configurations and more
            for t in (0.9, T):
                record(
                    f"{method} {name} {t}",
                    lambda make=make, method=method, t=t: _every_digit(getattr(la, method)(make(), t)),
                )
    for shape, t, coupling in (((4, 4), T, 1.0), ((16, 5), 1.0, -1.0), ((64, 64), 3.3, 0.7)):
        record(f"kaufman {shape} {t}", lambda a=(shape, t, coupling): _every_digit(la.kaufman(*a)))
    for t in (1.0, la.T_C, 5.0):
        record(f"onsager {t}", lambda t=t: vars(la.exact.onsager(t)))
    record("critical_temperature", lambda: [la.T_C, la.exact.critical_temperature(-0.7)])
    for q in (2, 3, 5, 10):
        record(f"potts_transition {q}", lambda q=q: repr(la.exact.potts_transition(q, 1.5)))


library = (hamiltonians, models, training, estimation, monte_carlo, exact)
