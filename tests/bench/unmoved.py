"""How much better a rule could be that moves nobody: `python -m tests.bench.unmoved`.

Three GPUs are few enough to compute the best rule there is. Requests arrive as a Poisson process and stay for
exponential times, so all that matters of the past is the layout of each GPU, and the best place for every request
in every state of the fleet is a Markov decision process (solved by value iteration). The same process tells what
our rule admits, by the offers of solver/gpu_tables/states.py. What free re-packing admits has a closed form: what it
may hold at once does not depend on who came first. Nothing here is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from math import factorial, floor, prod

import numpy as np
from numpy.typing import NDArray

from migctl.simulate.bound import EPSILON, prices
from migctl.simulate.demand.generated import MIXES
from solver.gpu_tables.layouts import layouts_of
from solver.gpu_tables.states import state_of
from solver.gpu_tables.tables import table
from solver.model.catalog import find
from solver.model.geometry import Placement

MODEL, GPUS = find("a100-40gb"), 3
LAYOUTS, TABLE = layouts_of(MODEL), table(MODEL)
PROFILES = TABLE.usual
SLICES = np.array([profile.slices for profile in PROFILES], dtype=np.float64)
SIZES = np.array([profile.size / MODEL.units for profile in PROFILES])
PROFILE_OF = {
    i: number
    for i, slot in enumerate(LAYOUTS.slots)
    for number, profile in enumerate(PROFILES)
    if slot.profile == profile.name
}
ROWS = tuple(product(("uniform", "small"), (0.4, 1.0)))
PRECISION = 5e-4
NOWHERE = np.inf

Values = NDArray[np.float64]
"""What each state of the fleet is worth, in slices yet to be admitted: one axis for each GPU."""
Layout = int
"""A set of slots (layouts.py)."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What a GPU can look like; layouts that no future can tell apart are one look, the empty one first.

    comes   comes[p][look]: the looks that an instance of profile p can lead to
    ours    ours[p][look]: the one that our rule chooses, and the score by which it compares GPUs; None: no place
    goes    (L, L): how many of the first look's instances leave the second behind
    """

    comes: list[list[set[int]]]
    ours: list[list[tuple[int, float] | None]]
    goes: Values


Choice = Callable[[Values, int], tuple[Values, Values]]
"""For a request of a profile that comes to the first GPU: what the state is worth then, and the score of that (the
least is chosen; NOWHERE where there is no place), shapes that broadcast to the fleet's states."""


def looks() -> Looks:
    layouts = sorted((int(s) for s in LAYOUTS.sets if set(_slots(int(s))) <= PROFILE_OF.keys()), key=int.bit_count)
    look = _told_apart(layouts)
    examples = {look[layout]: layout for layout in reversed(layouts)}
    ordered = [examples[number] for number in range(len(examples))]
    goes = np.zeros((len(ordered), len(ordered)))
    for number, layout in enumerate(ordered):
        for slot in _slots(layout):
            goes[number, look[layout & ~(1 << slot)]] += 1
    comes = [
        [{look[a | 1 << i] for i in _free(a) if PROFILE_OF[i] == p} for a in ordered] for p in range(len(PROFILES))
    ]
    ours = [[_ours(layout, profile.name, look) for layout in ordered] for profile in PROFILES]
    return Looks(comes, ours, goes)


def _slots(layout: Layout) -> list[int]:
    return [i for i in range(len(LAYOUTS.slots)) if layout >> i & 1]


def _free(layout: Layout) -> list[int]:
    return [i for i in PROFILE_OF if not any(LAYOUTS.excludes[k] >> i & 1 for k in _slots(layout))]


def _told_apart(layouts: Iterable[Layout]) -> dict[Layout, int]:
    """The look of each layout: those are alike from which the same requests lead to looks that are alike."""
    looks, known = dict.fromkeys(layouts, 0), 1
    while True:
        signs = {
            layout: (
                mine,
                *sorted((PROFILE_OF[i], looks[layout | 1 << i]) for i in _free(layout)),
                *sorted((~PROFILE_OF[i], looks[layout & ~(1 << i)]) for i in _slots(layout)),
            )
            for layout, mine in looks.items()
        }
        numbers = {sign: number for number, sign in enumerate(dict.fromkeys(signs.values()))}
        looks = {layout: numbers[sign] for layout, sign in signs.items()}
        if len(numbers) == known:
            return looks
        known = len(numbers)


def _ours(layout: Layout, profile: str, look: dict[Layout, int]) -> tuple[int, float] | None:
    held = [LAYOUTS.slots[i] for i in _slots(layout)]
    mask = sum(TABLE.mask_of(place) for place in held)
    state = state_of(TABLE, mask, tuple(sorted(place.profile for place in held)), ())
    if (offer := state.offer(profile)) is None:
        return None
    slot = LAYOUTS.index[Placement(profile, offer.slot.start)]
    return look[layout | 1 << slot], offer.cost[0] - state.used / 1000


def our_choice(looks: Looks) -> Choice:
    leads = [np.array([0 if one is None else one[0] for one in mine]) for mine in looks.ours]
    scores = [np.array([NOWHERE if one is None else one[1] for one in mine]) for mine in looks.ours]
    return lambda values, profile: (values[leads[profile]], scores[profile].reshape(-1, *(1,) * (GPUS - 1)))


def best_choice(looks: Looks) -> Choice:
    def choose(values: Values, profile: int) -> tuple[Values, Values]:
        nowhere = np.full(values.shape[1:], -NOWHERE)
        found = np.stack([values[sorted(leads)].max(axis=0) if leads else nowhere for leads in looks.comes[profile]])
        return found, -found

    return choose


def admitted(looks: Looks, rates: Values, choose: Choice) -> float:
    """Slices admitted, of those asked for, in the long run."""
    size = len(looks.goes)
    holders = looks.goes.sum(axis=1)
    held = sum(np.swapaxes(holders.reshape(-1, *(1,) * (GPUS - 1)), 0, gpu) for gpu in range(GPUS))
    events = rates.sum() + GPUS * holders.max()
    values = np.zeros((size,) * GPUS)
    while True:
        gone = np.tensordot(looks.goes, values, axes=1)
        then = sum(np.swapaxes(gone, 0, gpu) for gpu in range(GPUS)) + (events - rates.sum() - held) * values
        for profile, rate in enumerate(rates):
            then += rate * _after(*choose(values, profile), values, SLICES[profile])
        gain = events * (then / events - values)
        if np.ptp(gain) < PRECISION * (rates @ SLICES):
            return float((gain.max() + gain.min()) / 2 / (rates @ SLICES))
        values = then / events
        values -= values.flat[0]


def _after(found: Values, scores: Values, values: Values, slices: float) -> Values:
    """What every state is worth after a request, which goes to the GPU with the least score."""
    best, after = np.full(values.shape, NOWHERE), values.copy()
    for gpu in range(GPUS):
        score, value = np.swapaxes(scores, 0, gpu), np.swapaxes(found, 0, gpu)
        better = score < best
        after = np.where(better, value + slices, after)
        best = np.minimum(best, score)
    return after


def repacked(rates: Values) -> float:
    """The same for a fleet that re-packs for free: the chances of what it holds are those of independent queues."""
    most = [range(floor(GPUS / size + EPSILON) + 1) for size in SIZES]
    held = np.array([n for n in product(*most) if np.all(prices(MODEL) @ n <= GPUS + EPSILON)])
    chance = np.array([prod(r**k / factorial(k) for r, k in zip(rates, n, strict=True)) for n in held.tolist()])
    one_more = held[:, None, :] + np.eye(len(rates))
    fits = np.all(one_more @ prices(MODEL).T <= GPUS + EPSILON, axis=2)
    return float((chance @ fits / chance.sum()) @ (rates * SLICES) / (rates @ SLICES))


def main() -> None:
    every = looks()
    for mix, load in ROWS:
        often = np.array(MIXES[mix](SIZES.tolist()))
        rates = load * GPUS * often / (often @ SIZES)
        ours, best = (admitted(every, rates, choice) for choice in (our_choice(every), best_choice(every)))
        print(
            f"BENCH unmoved gpus={GPUS} mix={mix} load={load} ours={ours:.4f} best_rule={best:.4f} "
            f"re-packing={repacked(rates):.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
